"""Writes one recording in every format that is read, each as the bytes of a file; for tests.

All hold the same numbers: int16 [lead, time] of 1 uV.
"""

import base64
import binascii
import io
import json
import struct
import warnings
from collections.abc import Sequence

import numpy as np
import scipy.io

from tfds_physionet.leads import STANDARD_LEADS

# Codes of SCP-ECG and ISHNE.
_SCP = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
_ISHNE = dict(zip(STANDARD_LEADS, range(5, 17), strict=True))


def sidecar(leads: Sequence[str], rate: float, **more: object) -> bytes:
    """Returns what tells an array of mV apart."""
    return json.dumps({"leads": list(leads), "rate": rate, "unit": "mV", **more}).encode()


def array_files(signal: np.ndarray, leads: Sequence[str], rate: float) -> dict[str, bytes]:
    """Returns a recording as .npy, .npz, .mat, .h5 and .csv of mV, with their sidecar."""
    mv = signal / 1000.0
    files = {}
    for name, write in (
        ("a.npy", lambda stream: np.save(stream, mv.astype(np.float32))),
        ("a.npz", lambda stream: np.savez_compressed(stream, ecg=mv)),
        ("a.mat", lambda stream: scipy.io.savemat(stream, {"ecg": mv.T}, do_compression=True)),
        ("a.h5", lambda stream: _hdf5(stream, mv)),
    ):
        stream = io.BytesIO()
        write(stream)
        files[name] = stream.getvalue()
    text = io.StringIO()
    np.savetxt(text, mv.T, "%.3f", ",", header=",".join(leads), comments="")
    return files | {"a.csv": text.getvalue().encode(), "a.json": sidecar(leads, rate)}


def _hdf5(stream: io.BytesIO, mv: np.ndarray) -> None:
    import h5py

    with h5py.File(stream, "w") as file:
        file["signal"] = mv


def aecg(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an HL7 annotated ECG."""
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value '
        f'xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="1" unit="uV"/>'
        f"<digits>{' '.join(map(str, row))}</digits></value></sequence></component>"
        for lead, row in zip(leads, signal.tolist(), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><component><series>'
        '<code code="RHYTHM"/><component><sequenceSet><component><sequence>'
        '<code code="TIME_RELATIVE"/><value xsi:type="GLIST_PQ"><head value="0" unit="s"/>'
        f'<increment value="{1 / rate!r}" unit="s"/></value></sequence></component>{sequences}'
        "</sequenceSet></component></series></component></AnnotatedECG>"
    ).encode()


def muse(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an XML export of GE MUSE, with its DOCTYPE."""
    data = "".join(
        f"<LeadData><LeadID>{lead}</LeadID><LeadAmplitudeUnitsPerBit>1.0</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadSampleSize>2</LeadSampleSize>"
        f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal>"
        f"<WaveFormData>{_packed(row)}</WaveFormData></LeadData>"
        for lead, row in zip(leads, signal, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE RestingECG SYSTEM "restecg.dtd">'
        "<RestingECG><PatientDemographics><PatientAge>61</PatientAge><AgeUnits>YEARS</AgeUnits>"
        "<Gender>FEMALE</Gender></PatientDemographics><Waveform><WaveformType>Rhythm"
        f"</WaveformType><SampleBase>{rate:g}</SampleBase><SampleExponent>0</SampleExponent>{data}"
        "</Waveform></RestingECG>"
    ).encode("latin-1")


def mortara(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an XML file of Mortara's ELI."""
    data = "".join(
        f'<CHANNEL NAME="{lead}" BITS="16" FORMAT="SIGNED" UNITS_PER_MV="1000" ENCODING="BASE64" '
        f'SAMPLE_FREQ="{rate:g}" DURATION="{len(row)}" OFFSET="0" DATA="{_packed(row)}"/>'
        for lead, row in zip(leads, signal, strict=True)
    )
    start = '<?xml version="1.0"?><ECG ACQUISITION_TIME="20200101120000">'
    return (start + data + "</ECG>").encode()


def philips(signal: np.ndarray, leads: Sequence[str], rate: float, *, packed: bool = True) -> bytes:
    """Returns a Philips XML file 1.03, compressed (limb leads as differences) or plain."""
    values = signal.astype(np.int64)
    if packed:
        one, two, three = values[:3]
        values = values.copy()
        values[2] = two - one - three
        values[3] = -((one + two) // 2) - signal[3]
        values[4] = (one - three) // 2 - signal[4]
        values[5] = (two + three) // 2 - signal[5]
    data = b"".join(map(_xli, values)) if packed else signal.astype("<i2").tobytes()
    flags = 'compressflag="True" compressmethod="XLI" ' if packed else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><restingecgdata><documentinfo><documenttype>'
        "SierraECG</documenttype><documentversion>1.03</documentversion></documentinfo>"
        f"<dataacquisition><signalcharacteristics><samplingrate>{rate:g}</samplingrate>"
        "<resolution>1</resolution></signalcharacteristics></dataacquisition><waveforms>"
        f'<parsedwaveforms {flags}dataencoding="Base64" numberofleads="{len(leads)}" '
        f'leadlabels="{" ".join(leads)}" durationperchannel="{signal.shape[1] * 1000 / rate:g}">'
        f"{base64.b64encode(data).decode()}</parsedwaveforms></waveforms></restingecgdata>"
    ).encode()


def _xli(values: np.ndarray) -> bytes:
    """Returns a chunk of Philips's compression: second differences in LZW, every code a byte."""
    # What a straight line lacks; the first stands in the chunk's head, the others follow.
    bent = 2 * values[1:-1] - values[:-2] - values[2:]
    stored = np.array([*values[:2], *(bent[1:] + 64), 64]).astype(np.uint16)
    data = (stored >> 8).astype(np.uint8).tobytes() + (stored & 255).astype(np.uint8).tobytes()
    bits = "".join(f"{byte:010b}" for byte in data)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return struct.pack("<ihh", len(packed), 0, int(bent[0])) + packed


def _packed(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<i2").tobytes()).decode()


def dicom(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns a DICOM 12-lead ECG, written by pydicom."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    def code(value: str, scheme: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return item

    def channel(lead: str) -> Dataset:
        item = Dataset()
        item.ChannelSourceSequence = [code(f"2:{_SCP[lead]}", "MDC", f"Lead {lead}")]
        item.ChannelSensitivity = "1"
        item.ChannelSensitivityUnitsSequence = [code("uV", "UCUM", "microvolt")]
        item.ChannelSensitivityCorrectionFactor = "1"
        item.ChannelBaseline, item.ChannelSampleSkew = "0", "0"
        item.WaveformBitsStored = 16
        return item

    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = signal.shape
    group.SamplingFrequency = f"{rate:g}"
    group.MultiplexGroupLabel = "RHYTHM"
    group.ChannelDefinitionSequence = [channel(lead) for lead in leads]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = signal.T.astype("<i2").tobytes()
    whole = Dataset()
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    whole.Modality, whole.PatientID, whole.PatientSex, whole.PatientAge = "ECG", "7", "F", "061Y"
    whole.WaveformSequence = [group]
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def edf(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an EDF file of blocks of a second; what fills up the last one is 0."""
    per_block = round(rate)
    blocks = -(-signal.shape[1] // per_block)
    padded = np.pad(signal, ((0, 0), (0, blocks * per_block - signal.shape[1]))).astype("<i2")
    count = len(leads)
    head = [(8, "0"), (80, "X F X X"), (80, "Startdate X X X X"), (8, "01.01.20"), (8, "00.00.00")]
    head += [(8, 256 * (count + 1)), (44, ""), (8, blocks), (8, 1), (4, count)]
    for width, values in (
        (16, [f"ECG {lead}" for lead in leads]),
        *((80, [""] * count), (8, ["uV"] * count), (8, [-32768] * count), (8, [32767] * count)),
        *((8, [-32768] * count), (8, [32767] * count), (80, [""] * count)),
        *((8, [per_block] * count), (32, [""] * count)),
    ):
        head += [(width, value) for value in values]
    data = padded.reshape(count, blocks, per_block).transpose(1, 0, 2).tobytes()
    return "".join(f"{value:<{width}}" for width, value in head).encode() + data


def ishne(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an ISHNE Holter file of 1000 nV."""
    count = len(leads)
    missing = [-9] * (12 - count)
    head = struct.pack("<4i h", 0, signal.shape[1], 522, 522, 1)
    head += bytes(128 - 28) + struct.pack("<2h", 2, 0) + bytes(156 - 132) + struct.pack("<h", count)
    for values in ([_ISHNE[lead] for lead in leads], [1] * count, [1000] * count):
        head += struct.pack("<12h", *values, *missing)
    head += struct.pack("<h40sh", 0, b"digital", round(rate)) + bytes(522 - 274)
    checksum = binascii.crc_hqx(head, 0xFFFF)
    return b"ISHNE1.0" + struct.pack("<H", checksum) + head + signal.T.astype("<i2").tobytes()


def scp(signal: np.ndarray, leads: Sequence[str], rate: float) -> bytes:
    """Returns an SCP-ECG record of sections 0, 1, 3 and 6, uncompressed."""
    count, length = signal.shape
    age = struct.pack("<BHHB", 4, 3, 61, 1) + struct.pack("<BHB", 8, 1, 2) + b"\xff\0\0"
    definition = struct.pack("<BB", count, 0x04 | count << 3 & 0xF8)
    definition += b"".join(struct.pack("<IIB", 1, length, _SCP[lead]) for lead in leads)
    rhythm = struct.pack("<HHBB", 1000, round(1e6 / rate), 0, 0)
    rhythm += struct.pack(f"<{count}H", *[2 * length] * count) + signal.astype("<i2").tobytes()
    bodies = {1: age, 3: definition, 6: rhythm}
    place, pointers = 6 + 16 + 120, {0: (136, 7)}
    for number, body in bodies.items():
        pointers[number] = (16 + len(body), place + 1)
        place += 16 + len(body)
    table = b"".join(struct.pack("<HII", n, *pointers.get(n, (0, 0))) for n in range(12))
    sections = _section(0, table) + b"".join(_section(n, body) for n, body in bodies.items())
    rest = struct.pack("<I", 6 + len(sections)) + sections
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def _section(number: int, body: bytes) -> bytes:
    reserved = b"SCPECG" if number == 0 else bytes(6)
    rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + reserved + body
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


CLINICAL = {
    "a.xml": aecg,
    "m.xml": muse,
    "e.xml": mortara,
    "p.xml": philips,
    "d.dcm": dicom,
    "h.edf": edf,
    "i.ecg": ishne,
    "s.scp": scp,
}
"""A file's name, and what writes it from (signal in uV, leads, rate)."""
