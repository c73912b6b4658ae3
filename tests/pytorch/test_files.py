"""Files that are damaged, odd or hostile: one sentence each with the file's name, and no harm."""

import os
import pickle
import struct

import numpy as np
import pytest
from drawn_weights import random_checkpoint
from torch_refusals import refusal

from resunet_lc_jax.pytorch.checkpoint import read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.files import SUFFIXES, TorchFileError


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


def test_a_file_larger_than_any_weights_is_refused_unread(tmp_path):
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(1 << 40)
    assert "1,099.5 GB" in refusal(path)


def test_checkpoints_are_written_into_missing_folders_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "b" / "w.npz"
    write_checkpoint(path, random_checkpoint())
    assert [file.name for file in path.parent.iterdir()] == ["w.npz"]
    with pytest.raises(ValueError, match=r"is a folder; name a file"):
        write_checkpoint(path.parent, random_checkpoint())
    with pytest.raises(ValueError, match=r"w\.h5.*\.safetensors"):
        write_checkpoint(path.with_suffix(".h5"), random_checkpoint())
