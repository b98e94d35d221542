"""The machine code that a snapshot is taken and started by, and the words that it finds and leaves behind itself.

scripts/snapshot.s is its source, which says what each part does; a test
assembles that and compares.
"""

from __future__ import annotations

from sandbox.quick import struct

__all__ = [
    "BEGIN", "CODE", "FEATURES", "FORK_LATER", "IGNORED", "MEASURE", "MOST_PAIRS", "PAGE", "PLAIN", "START", "TABLE",
    "State",
]  # fmt: skip

PAGE = 4096
CODE = {
    "x86_64": bytes.fromhex(
        "53554154415541564157488927b8390000000f0585c07528bf01000000be09000000b89d0000000f05bf3c000000b8250000000f05b82200"
        "00000f05ebf731c0415f415e415d415c5d5bc30f1f44000053b80100000031c90fa28907894f04895708b80700000031c90fa2895f0c894f"
        "10895714b80d00000031c90fa2894718895f1c5bc366662e0f1f840000000000488d1d690f000048896308488b0424488d7cc410488b4b28"
        "488939488b074883c7084885c075f431ed488b07488b4f084883c7104883f821480f44e94885c075e84885ed0f84430100004889ef488b73"
        "40488b4b38f3a60f8530010000488dbba8000000e857ffffff488dbba8000000488db388000000b920000000f3a60f85090100004c8da3c8"
        "000000498b0c244983c4084885c97418498b3c24498b4424084801e84889074983c41048ffc9ebe34d8b2c244983c4084d85ed7421498b3c"
        "24498b742408e8a5000000493b04240f85b80000004983c41049ffcdebda488b7b48488b7358e885000000488b7b484839f8750a488b7350"
        "488b4b58f3a44531e441bd400000004883ec204489ef31f64889e241ba08000000b80d0000000f0549d1e448833c240175044983cc0141ff"
        "cd75d84c89633031ffb80c0000000f05488b7b20488907488b7b10b8da0000000f05488b7b108907488b7318bf02100000b89e0000000f05"
        "488b23e93efeffffba0300000041ba2240100049c7c0ffffffff4531c9b8090000000f05c3488b7308488b0e4989f0488d4360488906488d"
        "7e084883c610f348a5488d43684889074889fa488d7b604c89c6b83b0000000f05bf7e000000b8e70000000f05"
    )
}
# Where in it one calls: fork(), but the child goes on later; what the processor can; and where the kernel starts it.
FORK_LATER, MEASURE, START = 0, 0x50, 0x90
# What is in the words on the page behind it, that one reads or fills by itself: the stack that the kernel has begun
# with, a bit for each signal that was ignored, and eight numbers of the processor.
BEGIN, IGNORED, FEATURES = 8, 48, 136
PLAIN = "cgscope_plain=1"  # tells the start script to start Python as usual
FEATURES_BYTES = 32
HEAD = struct.Struct("<12Q8s32s")  # up to FEATURES
TABLE = 200
MOST_PAIRS = (PAGE - TABLE) // 16 - 1


class State:
    """Those words as they are in the file.

    Known before are addresses: what FS of the thread that is taken points at, its id, and libc's __curbrk and environ.
    """

    def __init__(self, thread: int, thread_id: int, curbrk: int, environ: int) -> None:
        self.thread, self.thread_id, self.curbrk, self.environ = thread, thread_id, curbrk, environ
        # Where the vDSO as it was is, and how long it is; and the end of the first stack: to where, from where.
        self.vdso = (0, 0)
        self.first_stack = (0, 0, 0)
        # (address, offset in the vDSO), and (address, bytes) of memory that was empty.
        self.functions: list[tuple[int, int]] = []
        self.empty: list[tuple[int, int]] = []

    def pack(self, found: bytes) -> bytes:
        """Return the page; `found`: as fork_later and MEASURE have left it."""
        (stack,) = struct.unpack_from("<Q", found)
        place, length = self.vdso
        to, source, size = self.first_stack
        words = (stack, 0, self.thread_id, self.thread, self.curbrk, self.environ, 0, length, place, to, source, size)
        head = HEAD.pack(*words, b"/bin/sh", PLAIN.encode())
        tables = b"".join(
            struct.pack("<Q", len(pairs)) + b"".join(struct.pack("<QQ", *pair) for pair in pairs)
            for pairs in (self.functions, self.empty)
        )
        features = found[FEATURES : FEATURES + FEATURES_BYTES]
        return (head + features + bytes(FEATURES_BYTES) + tables).ljust(PAGE, b"\0")
