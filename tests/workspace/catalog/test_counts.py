from workspace.catalog.counts import download_counts
from workspace.catalog.records import Download


def test_downloads_are_counted_by_status_and_reason_ok_first(catalog) -> None:
    assert dict(download_counts(catalog)) == {"ok": 0}
    rows = [Download(f"u{n}", "failed", "timeout") for n in range(3)]
    rows += [Download("v", "ok"), Download("w", "refused", "svg"), Download("x", "failed", "http_404")]
    catalog.put(rows)
    counts = download_counts(catalog)
    assert list(counts.items()) == [("ok", 1), ("failed: timeout", 3), ("failed: http_404", 1), ("refused: svg", 1)]
