"""Fair timing on a machine that is not ours alone.

Every round calls every case once, in a new random order. A comparison is the median of the per-round ratios. `busy` is the
CPU time divided by the wall time and the threads: below 0.8 the round was disturbed, and the figure should be thrown away.
With one thread the CPU time is compared instead of the wall time, which other programs then hardly disturb.
"""

import random
import statistics
import time


def measure(cases, rounds, threads, warmup=2):
    """cases: {name: callable} -> {name: {"wall": [seconds], "cpu": [seconds], "busy": median}}"""
    order = list(cases)
    for _ in range(warmup):
        for name in order:
            cases[name]()
    results = {name: {"wall": [], "cpu": []} for name in order}
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            cases[name]()
            results[name]["wall"].append(time.perf_counter() - wall)
            results[name]["cpu"].append(time.process_time() - cpu)
    for result in results.values():
        result["busy"] = statistics.median(c / w / threads for c, w in zip(result["cpu"], result["wall"]))
        result["clock"] = "cpu" if threads == 1 else "wall"
    return results


def report(title, results, base):
    """Prints each case, and how many times longer than `base` it took."""
    print(title)
    for name, result in results.items():
        clock = result["clock"]
        times = result[clock]
        ratio = statistics.median(x / y for x, y in zip(times, results[base][clock]))
        note = "  (disturbed)" if clock == "wall" and result["busy"] < 0.8 else ""
        print(
            f"  {name:16s} {clock} median {statistics.median(times) * 1e3:9.2f} ms  best {min(times) * 1e3:9.2f}"
            f"  busy {result['busy']:.2f}  x{ratio:.2f} of {base}{note}",
            flush=True,
        )
