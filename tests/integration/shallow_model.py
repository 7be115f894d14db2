"""nano with its first layer alone, for tests of what is around the model: it answers as any model
does, for an eighth of the computation. What it says means nothing."""

import json
import pathlib
import struct
import tempfile

_kept = {}  # source: its folder, which goes with the process


def shallow_model(source):
    """The folder, made on the first call; the model's name is the source's."""
    if source not in _kept:
        _kept[source] = tempfile.TemporaryDirectory(prefix="sparsed-shallow-")
        _write(pathlib.Path(source), pathlib.Path(_kept[source].name))
    return str(pathlib.Path(_kept[source].name) / pathlib.Path(source).name)


def _is_kept(name):
    _, _, behind = name.partition(".blocks.")
    return not behind or behind.startswith("0.")


def _write(source, parent):
    folder = parent / source.name
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).symlink_to(source / name)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layers": 1}))
    header, data = {}, b""
    for shard in sorted(source.glob("*.safetensors")):
        content = shard.read_bytes()
        end = 8 + struct.unpack("<Q", content[:8])[0]
        for name, tensor in json.loads(content[8:end]).items():
            if name == "__metadata__" or not _is_kept(name):
                continue
            first, last = (end + offset for offset in tensor["data_offsets"])
            header[name] = {**tensor, "data_offsets": [len(data), len(data) + last - first]}
            data += content[first:last]
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
