"""The decoders that strangers' media may reach.

FFmpeg brings some 540, most of them for games and cameras of the nineties, which hardly anybody reads or tests any
more. What ingest tiers and phones send is decoded by these.
"""

from __future__ import annotations

#: By FFmpeg's names of decoders, of which there are several for some codecs.
VIDEO = (
    "h264", "hevc", "vvc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9", "vp8", "libvpx", "mpeg4",
    "mpeg2video", "mpeg1video", "mpegvideo", "h263", "h263p", "h263i", "flv", "vp6f", "vp6a", "vp6", "theora", "mjpeg",
    "png", "prores", "dnxhd", "dvvideo", "vc1", "wmv3", "msmpeg4", "msmpeg4v2", "rawvideo", "qtrle", "svq3", "ffv1",
    "huffyuv", "webp",
)  # fmt: skip
AUDIO = (
    "aac", "aac_latm", "aac_fixed", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float", "opus", "libopus",
    "vorbis", "libvorbis", "flac", "alac", "ac3", "eac3", "ac3_fixed", "dca", "truehd", "amrnb", "amrwb",
    "libopencore_amrnb", "libopencore_amrwb", "speex", "libspeex", "nellymoser", "wmav1", "wmav2", "adpcm_ima_qt",
    "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "gsm_ms", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8",
    "pcm_bluray", "pcm_dvd", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be",
    *(f"pcm_{kind}{bits}{order}" for kind in "su" for bits in (16, 24, 32) for order in ("le", "be")),
)  # fmt: skip
DECODERS = frozenset({*VIDEO, *AUDIO})
