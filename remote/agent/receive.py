"""What a push brings: pieces of content over any number of channels at once, and the tree made of them at the end.

A batch on the wire is one byte of kind, four bytes of length (big-endian) and the bytes: `r` raw, `z` zlib, `e` for the
end. Unpacked it is a row of pieces: 64 hex digits (the sha256 of the whole content), eight bytes of its size, eight of
the piece's offset, four of the piece's length, then the piece.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from .disk import CHUNK, PROTOCOL, Json, Refused, free_bytes, sha256_fd
from .reading import Out
from .runs import Pod
from .trees import blob_path, check_paths, make_tree, missing_of, naming, settle, sum_of

BATCH_LIMIT = 16 << 20
PIECE = struct.Struct(">64sQQI")


def blobs(_request: Json, pod: Pod, stream: BinaryIO) -> Json:
    """Take batches until the end of them; `received` counts the bytes of content."""
    return {"received": sum(take(pod, batch) for batch in batches(stream))}


def batches(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        kind, length = struct.unpack(">cI", exactly(stream, 5))
        if kind == b"e":
            return
        if length > BATCH_LIMIT or kind not in (b"r", b"z"):
            raise Refused("bad_request", "the stream of files is not made of batches")
        data = exactly(stream, length)
        yield unpacked(data) if kind == b"z" else data


def unpacked(data: bytes) -> bytes:
    unpack = zlib.decompressobj()
    try:
        plain = unpack.decompress(data, BATCH_LIMIT)
    except zlib.error:
        raise Refused("hash", "a batch arrived damaged") from None
    if not unpack.eof:
        raise Refused("bad_request", "a batch is larger than agreed")
    return plain


def exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise Refused("cut", "the stream of files ended early")
    return data


def take(pod: Pod, batch: bytes) -> int:
    """Put every piece of a batch where it belongs; how many bytes of content it held."""
    view, at, total = memoryview(batch), 0, 0
    while at < len(view):
        if len(view) - at < PIECE.size:
            raise Refused("bad_request", "a batch ends in the middle of a piece")
        name, size, offset, length = PIECE.unpack_from(view, at)
        data = view[at + PIECE.size : at + PIECE.size + length]
        if len(data) != length or offset + length > size:
            raise Refused("bad_request", "a batch ends in the middle of a piece")
        put(pod, name.decode("ascii", "replace"), size, offset, data)
        at, total = at + PIECE.size + length, total + length
    return total


def put(pod: Pod, digest: str, size: int, offset: int, data: memoryview) -> None:
    """A whole content is verified before it gets its name; a piece of one waits for the others under another name.

    Neither is forced to the disk: what another process wrote is read again and verified when the tree is made.
    """
    path = blob_path(pod, digest)
    if len(data) < size:
        write_at(f"{path}.in", offset, data)
        return
    if hashlib.sha256(data).hexdigest() != digest:
        raise Refused("hash", f"content {digest[:12]} arrived damaged")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        write_at(temporary, 0, data)
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    pod.fresh.add(digest)


def write_at(path: str, offset: int, data: memoryview) -> None:
    """Write into a file of the store, which is made where it is missing. Few calls: each costs on a network volume."""
    with naming(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd = os.open(path, flags, 0o600)
        try:
            while data:
                count = os.pwrite(fd, data, offset)
                data, offset = data[count:], offset + count
        finally:
            os.close(fd)


def complete(pod: Pod, digest: str) -> None:
    """Verify a content that came in pieces and give it its name; damaged, it is removed."""
    path = blob_path(pod, digest)
    if os.path.exists(path) or not os.path.exists(f"{path}.in"):
        return
    fd = os.open(f"{path}.in", os.O_RDONLY | os.O_NOFOLLOW)
    try:
        whole = sha256_fd(fd) == digest
    finally:
        os.close(fd)
    if not whole:
        os.unlink(f"{path}.in")
        raise Refused("hash", f"content {digest[:12]} arrived damaged")
    os.replace(f"{path}.in", path)
    pod.fresh.add(digest)


def push(request: Json, pod: Pod, stream: BinaryIO, out: Out) -> None:
    """A conversation that ends with the tree `tree_id`: what is missing, the content, whether the tree is made.

    Without `manifest` the answer to an unknown tree asks for it (`need`). Content may come over this channel and, by
    the verb `blobs`, over others; then {"make": true} makes the tree, or names what still is missing.
    """
    tree_id = request.get("tree_id")
    if os.path.isdir(pod.tree_dir(tree_id)):
        tell(out, have=True)
        return
    if not isinstance(request.get("manifest"), list):
        tell(out, need=True)
        request = {**request, **next_request(stream)}
    entries = request.get("manifest")
    if not isinstance(entries, list) or sum_of(entries) != tree_id:
        raise Refused("hash", "the manifest does not have the tree's id")
    check_paths(entries)
    sizes = {entry["sha256"]: int(entry["size"]) for entry in entries if "link" not in entry}
    missing = missing_of(pod, sizes)
    need_room(pod, sum(sizes[digest] for digest in missing) + sum(int(entry.get("size", 0)) for entry in entries))
    tell(out, missing)
    while line := next_request(stream):
        received = sum(take(pod, batch) for batch in batches(stream)) if line.get("batches") else 0
        for digest in line.get("pieced", []):
            complete(pod, digest)
        if line.get("make"):
            missing = make_tree(pod, tree_id, entries, line.get("meta") or {})
            tell(out, missing, have=not missing, received=received)
            if not missing:
                settle(pod.tree_dir(tree_id))
                return


def tell(out: Out, missing: Sequence[str] = (), **facts: Any) -> None:
    """Facts, and what is missing: hex digits without a separator, since there may be very many."""
    digests = "".join(missing).encode()
    out.line({"v": PROTOCOL, "ok": True, **facts, "n": len(digests)}, digests)


def next_request(stream: BinaryIO) -> Json:
    """The next line of the conversation; {} at its end."""
    from .agent import read_request

    return read_request(stream)


def need_room(pod: Pod, count: int) -> None:
    """Refuse before the first byte what cannot fit."""
    free = free_bytes(pod.root)
    if free is not None and count + CHUNK > free and count > 0:
        raise Refused("disk_full", f"{count >> 20} MiB are needed and {free >> 20} MiB are free in {pod.root}")
