"""Content Credentials, signed by an authority of our own and read back: trusted, untrusted, tampered."""

from __future__ import annotations

import io
import sys

import av
import numpy as np
import pytest
from PIL import Image

from agents.synthetic.container import ContainerDetector
from agents.synthetic.provenance import TRUST, Checker, checker
from streams.extraction.pool import Pool
from streams.settings import load
from tests.agents.synthetic.signing import authority


@pytest.fixture(scope="module")
def ours():
    return authority("Veristream tests")


@pytest.fixture(scope="module")
def media():
    """Small files by their MIME types."""
    made = {}
    for kind, name in (("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/webp", "WEBP")):
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (90, 20, 30)).save(file, name)
        made[kind] = file.getvalue()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return {**made, "video/mp4": file.getvalue()}


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/webp", "video/mp4"])
def test_a_signer_is_trusted_only_by_the_configured_list(ours, media, kind):
    signed = ours.sign(media[kind], kind)
    told = {name: Checker(pem).read(io.BytesIO(signed)) for name, pem in (("ours", ours.root), ("none", ""))}
    assert {name: each.state for name, each in told.items()} == {"ours": "trusted", "none": "untrusted"}
    assert Checker(authority("Somebody else").root).read(io.BytesIO(signed)).state == "untrusted"
    for each in told.values():
        assert each.generator == "Test camera 1.2"
        assert each.signer.startswith("Veristream tests")
        assert each.actions == ("c2pa.created",)
        assert each.source_types == ("trainedAlgorithmicMedia",)
    assert told["ours"].problems == ()
    assert told["none"].problems[0].startswith("signingCredential.untrusted: ")


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "video/mp4"])
def test_what_was_changed_after_signing_is_tampered_however_trusted_its_signer(ours, media, kind):
    plain = media[kind]
    signed = bytearray(ours.sign(plain, kind))
    # Something of the picture itself, which stands in the signed file as it stood before.
    part = plain[-40:-30] if kind != "video/mp4" else plain[plain.index(b"mdat") + 8 :][:10]
    signed[signed.rindex(part) + 3] ^= 1
    told = Checker(ours.root).read(io.BytesIO(bytes(signed)))
    assert told.state == "tampered"
    assert any("ismatch" in problem for problem in told.problems)


def test_what_a_claim_says_cannot_be_changed_either(ours, media):
    signed = ours.sign(media["image/png"], "image/png")
    told = Checker(ours.root).read(io.BytesIO(signed.replace(b"trainedAlgorithmicMedia", b"trainedAlgorithmicmedia")))
    assert told.state in ("tampered", "unreadable")


def test_a_file_without_a_store_says_nothing(media):
    assert all(Checker().read(io.BytesIO(file)) is None for file in media.values())


def test_a_store_that_cannot_be_read_is_said_to_be_unreadable(ours, media):
    signed = ours.sign(media["image/png"], "image/png")
    at = signed.index(b"caBX") + 40
    told = Checker(ours.root).read(io.BytesIO(signed[:at] + bytes(200) + signed[at + 200 :]))
    assert told.state in ("unreadable", "tampered", "invalid")
    assert told.problems


def test_without_the_library_a_store_is_unchecked_and_still_a_trace(ours, media, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)  # importing it raises
    told = Checker().read(io.BytesIO(ours.sign(media["image/png"], "image/png")))
    assert (told.state, told.source_types) == ("unchecked", ("trainedAlgorithmicMedia",))


def test_a_trust_list_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    for text in ("no certificate", None):
        path = tmp_path / "trust.pem"
        if text is None:
            path = tmp_path / "missing.pem"
        else:
            path.write_text(text, "utf-8")
        monkeypatch.setenv(TRUST, str(path))
        with pytest.raises(ValueError, match=path.name):
            checker()
        assert path.name in ContainerDetector.problems()[0]
    monkeypatch.setenv(TRUST, "")
    assert ContainerDetector.problems() == []


async def test_a_confined_process_checks_signatures_by_the_list_of_the_settings(ours, media, tmp_path):
    trust, clip = tmp_path / "trust.pem", tmp_path / "clip.mp4"
    trust.write_text(ours.root, "utf-8")
    clip.write_bytes(ours.sign(media["video/mp4"], "video/mp4"))
    pool = Pool(load(extract_workers=1, c2pa_trust=trust), [ContainerDetector])
    try:
        await pool.warm()
        reading = await pool.read(clip)
    finally:
        await pool.close()
    assert reading.absent == ()
    found = {signal.name: signal.evidence[0] for signal in reading.signals}
    assert set(found) == {"c2pa", "c2pa.synthetic"}
    assert (found["c2pa"].entry, found["c2pa"].text) == ("trusted", "Test camera 1.2")
    assert (found["c2pa.synthetic"].entry, found["c2pa.synthetic"].text) == ("trusted", "trainedAlgorithmicMedia")
