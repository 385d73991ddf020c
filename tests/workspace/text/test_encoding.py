import codecs

import pytest

from collectors.sources.local.url_list import read_rows
from workspace.config.model import load_config
from workspace.errors import ConfigError
from workspace.text.encoding import decode_text

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
BIG_ENDIAN = codecs.BOM_UTF16_BE + "é\r\n".encode("utf-16-be")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_are_read_however_an_editor_saved_them(tmp_path, encoding) -> None:
    file = tmp_path / "workspace.toml"
    file.write_bytes('[classes]\r\n"café" = "café"\r\nkiwi = "키위"\r\n'.encode(encoding))
    assert load_config(file).classes == {"café": ("café",), "kiwi": ("키위",)}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list.jsonl"])
def test_a_list_of_urls_is_read_however_an_editor_saved_it(tmp_path, encoding, name) -> None:
    text = {
        "list.csv": "url,label\r\nhttp://a/1.jpg,café\r\n",
        "list.txt": "http://a/1.jpg\tcafé\r\n",
        "list.jsonl": '{"url": "http://a/1.jpg", "label": "café"}\r\n',
    }
    (tmp_path / name).write_bytes(text[name].encode(encoding))
    assert [row.values for row in read_rows(tmp_path / name)] == [{"url": "http://a/1.jpg", "label": "café"}]


def test_a_mark_of_the_other_byte_order_is_known() -> None:
    assert decode_text(BIG_ENDIAN) == "é\r\n"


def test_settings_in_another_encoding_say_what_to_do(tmp_path) -> None:
    file = tmp_path / "workspace.toml"
    file.write_bytes('[classes]\ncafé = "café"\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"workspace.toml cannot be read: .*; save it as UTF-8"):
        load_config(file)
