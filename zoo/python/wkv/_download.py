"""Fetches what a name of the catalogue needs: with a line of progress on a terminal, and Ctrl-C."""
import errno
import sys
import threading

from wkv._library import classes


def download(name: str) -> None:
    """Until it is in the cache. A FileNotFoundError for what is no name."""
    unknown = classes().Download.unknown(name)
    if unknown:
        raise FileNotFoundError(errno.ENOENT, unknown)
    handle, failures = classes().Download.of(name), []

    def run():
        try:
            handle.run()
        except Exception as failure:
            failures.append(failure)

    # C++ can't be interrupted; the thread that waits for it can.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    shown = False
    try:
        while thread.is_alive():
            thread.join(0.1)
            shown = _show(*handle.progress()) or shown
    finally:
        handle.cancel()
        if shown:
            print(file=sys.stderr)
    if failures:
        raise failures[0]


def _show(file: str, done: int, total: int | None) -> bool:
    if not file or not sys.stderr.isatty():
        return False
    size = f" of {total / 1e6:.1f}" if total is not None else ""
    print(f"\r\x1b[K{file}: {done / 1e6:.1f}{size} MB", end="", file=sys.stderr, flush=True)
    return True
