"""Files that are damaged, odd or hostile: one sentence each with the file's name, and no harm."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from drawn_weights import random_checkpoint

from resunet_lc_jax.pytorch.checkpoint import read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.files import SUFFIXES, TorchFileError


def refusal(path):
    """The sentence with which a file is refused, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(TorchFileError) as caught:
            read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable()
    assert "Errno" not in message and len(message) < 600
    return message


@pytest.fixture(params=SUFFIXES)
def good(request, tmp_path):
    """A whole checkpoint of each kind."""
    if request.param in (".pt", ".pth"):
        pytest.importorskip("torch")
    path = tmp_path / f"good{request.param}"
    write_checkpoint(path, random_checkpoint())
    return path


@pytest.mark.parametrize("kept", [1, 3, 9, 500, 5000, -1, -30])
def test_truncated_files_are_said_to_be_damaged(good, kept):
    path = good.with_stem("truncated")
    path.write_bytes(good.read_bytes()[:kept])
    assert "copy it again" in refusal(path) or "not PyTorch weights" in refusal(path)


def test_a_changed_byte_among_the_weights_is_found_by_the_archives_checksums(good):
    if good.suffix == ".safetensors":
        pytest.skip("such files carry no checksums")
    content = bytearray(good.read_bytes())
    value = random_checkpoint().state_dict["rb_1.conv1.weight"].tobytes()
    place = bytes(content).index(value) + len(value) // 2
    content[place] ^= 0x40
    path = good.with_stem("changed")
    path.write_bytes(content)
    assert "CRC" in refusal(path)


def test_a_file_whose_checksums_pytorch_was_told_to_leave_out_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert list(read_checkpoint(tmp_path / "w.pt").state_dict) == ["fc.weight"]


def test_bytes_changed_anywhere_end_in_weights_or_one_sentence(good):
    rng, content = np.random.default_rng(0), good.read_bytes()
    for number in range(60):
        changed = bytearray(content)
        near = [0, len(content) - 3000, int(rng.integers(len(content)))][number % 3]
        for place in near + rng.integers(0, 600, size=8):
            changed[min(place, len(content) - 1)] = rng.integers(256)
        path = good.with_stem(f"changed{number}")
        path.write_bytes(changed)
        try:
            read_checkpoint(path)
        except TorchFileError as error:
            assert str(error).startswith(str(path)) and str(error).isprintable()


def test_the_content_decides_not_the_suffix(good):
    plain = read_checkpoint(good)
    for name in ("model.pth.tar", "model.ckpt", "weights"):
        other = good.with_name(name)
        other.write_bytes(good.read_bytes())
        got = read_checkpoint(other)
        assert list(got.state_dict) == list(plain.state_dict)
        assert name in got.notes[0]


def test_old_files_of_torch_save_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    content, path = {"fc.weight": torch.ones(2, 2)}, tmp_path / "old.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_checkpoint(path).state_dict["fc.weight"], np.ones((2, 2)))
    whole = path.read_bytes()
    for kept in (2, 30, 200, len(whole) - 1):
        path.write_bytes(whole[:kept])
        refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello", "begins with b'hello'"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(20), "a gzip archive"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
        (b"\x80\x02", "cannot be read"),
        (pickle.dumps({"fc.weight": np.ones(3)}), "cannot be read"),
        (pickle.dumps({"fc.weight": 3}, protocol=2), "cannot be read"),
        (b"\x80\x02c" + b"x" * 100, "cannot be read"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "npz", "pth.tar"])
def test_other_files_are_refused_by_what_they_are(tmp_path, content, said, suffix):
    if content.startswith(b"\x80"):
        pytest.importorskip("torch")
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(content)
    assert said in refusal(path)


def test_folders_devices_and_missing_files_are_refused(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.pt")
    assert "no ordinary file" in refusal(tmp_path / "pipe.pt")
    with pytest.raises(FileNotFoundError, match=r"gone\.pt: there is no such file"):
        read_checkpoint(tmp_path / "gone.pt")


def test_files_without_weights_are_refused_with_a_remedy(tmp_path):
    torch = pytest.importorskip("torch")
    for content, said in [
        ({"args": {"lr": 1e-3}, "epoch": 3}, "args, epoch"),
        ({}, "nothing"),
        ({"model": {}}, "nothing"),
        ([torch.ones(2)], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),  # never made
    ]:
        torch.save(content, tmp_path / "other.pt")
        message = refusal(tmp_path / "other.pt")
        assert said in message and "torch.save(" in message


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch harmed",))


class Builtin:
    def __reduce__(self):
        return (eval, ("open('harmed', 'w')",))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("hostile", [Hostile, Builtin])
def test_a_program_in_a_file_is_never_run(tmp_path, monkeypatch, hostile, legacy):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    content = {"model": {"fc.weight": torch.ones(2)}, "args": hostile()}
    torch.save(content, "hostile.pt", _use_new_zipfile_serialization=not legacy)
    try:
        got = read_checkpoint("hostile.pt")
        assert list(got.state_dict) == ["fc.weight"] and "eval" in got.notes[0]
    except TorchFileError as error:
        assert "hostile.pt" in str(error)
    assert os.listdir() == ["hostile.pt"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_archives_are_refused_with_the_way_out(tmp_path):
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "scripted.pt")
    assert "torch.jit.load(path).state_dict()" in refusal(tmp_path / "scripted.pt")


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def array_header(shape, kind="<f4"):
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"


def npy_header(header):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_zip_archives_of_something_else_are_refused(tmp_path):
    path = zipped(tmp_path / "report.pt", {"word/document.xml": "<x/>", "a.npy": npy(np.ones(2))})
    assert "word/document.xml" in refusal(path)
    assert "nothing" in refusal(zipped(tmp_path / "empty.npz", {}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(np.array([{}, None]), allow_pickle=True), "Python objects"),
        (b"\x93NUMPY\x01", "damaged"),
        (b"hello", "damaged"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,)}"), "damaged"),
        (npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 40},)}}"), "shape"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "damaged"),
        (npy_header(array_header("(1,)", "|O")), "Python objects"),
        (npy(np.array(["a"])), "fc.weight is <U1"),
        (npy(np.ones(2, [("a", "f4")])), "fc.weight is "),
        (npy(np.ones(2, np.int64)), "fc.weight is int64"),
        (npy(np.ones(2, np.complex128)), "fc.weight is complex128"),
    ],
)
def test_odd_arrays_in_an_npz_are_refused_by_name(tmp_path, content, said):
    message = refusal(zipped(tmp_path / "odd.npz", {"fc.weight.npy": content}))
    assert said in message


def test_big_endian_and_fortran_arrays_are_taken(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    np.savez_compressed(tmp_path / "w.npz", **{"fc.weight": array})
    got = read_checkpoint(tmp_path / "w.npz").state_dict["fc.weight"]
    np.testing.assert_array_equal(got, array)


def test_archives_that_would_unpack_to_very_much_are_refused_unopened(tmp_path):
    path, header = tmp_path / "bomb.npz", npy_header(array_header(f"({1 << 28},)", "|i1"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fc.weight.npy", "w") as file:
            file.write(header)
            for _ in range(256):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 1e6
    assert "would unpack" in refusal(path)


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path):
    path = zipped(tmp_path / "lie.npz", {"fc.weight.npy": npy(np.ones(64, np.float32))})
    content = path.read_bytes()
    size = struct.pack("<I", len(npy(np.ones(64, np.float32))))
    for claimed in (1, 0xFFFFFFF0):
        path.write_bytes(content.replace(size, struct.pack("<I", claimed)))
        refusal(path)


def test_a_file_larger_than_any_weights_is_refused_unread(tmp_path):
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(1 << 40)
    assert "1,099.5 GB" in refusal(path)


def entry(kind, shape, start, end):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({"fc.weight": entry("F32", [1 << 40], 0, 4 << 40)}, None),
        ({"fc.weight": entry("F32", [1 << 62, 1 << 62], 0, 8)}, None),
        ({"fc.weight": entry("F32", [-2], 0, 8)}, None),
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, None),
        ({"fc.weight": entry("F32", [2], 0, 12)}, None),
        ({"fc.weight": entry("F32", [2], 8, 0)}, None),
        ({"fc.weight": entry("X9", [2], 0, 12)}, None),
        ({"fc.weight": {}}, None),
        ({"fc.weight": 3}, None),
        ([], None),
        ({}, 1 << 45),
        ({}, 1 << 63),
        ({}, 10),
    ],
)
def test_safetensors_with_impossible_headers_are_refused(tmp_path, header, length):
    text = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", length or len(text)) + text + bytes(12))
    refusal(path)


def test_checkpoints_are_written_into_missing_folders_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "b" / "w.npz"
    write_checkpoint(path, random_checkpoint())
    assert [file.name for file in path.parent.iterdir()] == ["w.npz"]
    with pytest.raises(ValueError, match=r"is a folder; name a file"):
        write_checkpoint(path.parent, random_checkpoint())
    with pytest.raises(ValueError, match=r"w\.h5.*\.safetensors"):
        write_checkpoint(path.with_suffix(".h5"), random_checkpoint())
