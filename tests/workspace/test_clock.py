from datetime import UTC, datetime, timedelta

from workspace.clock import utc_now


def test_times_are_utc_texts_that_sort() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    now = datetime.fromisoformat(utc_now())
    assert before <= now <= datetime.now(UTC) and now.utcoffset() == timedelta(0)
    assert len(utc_now()) == len("2026-01-31T09:00:00+00:00")
    assert utc_now(ago_s=3600) < utc_now(ago_s=60) < utc_now()


def test_microseconds_are_written_even_when_they_are_nought() -> None:
    assert len(utc_now(timespec="microseconds")) == len("2026-01-31T09:00:00.000000+00:00")
