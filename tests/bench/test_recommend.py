"""Which file to ship."""

import pytest

from edgetl.bench.recommend import advice, recommend


def files(*entries):
    """verify.json and bench.json of files: name, precision, median, half its interval, agreement, whether it passed."""
    proofs, times = [], []
    for file, precision, p50_ms, half_ms, agreement, passed in entries:
        verdict = {"status": "PASS" if passed else "FAIL", "reasons": []}
        proofs.append({"file": file, "top1": 0.9, "agreement": agreement, "verdict": verdict})
        median = {"p50_ms": p50_ms, "p50_low_ms": p50_ms - half_ms, "p50_high_ms": p50_ms + half_ms}
        times.append({"file": file, "precision": precision, "inference": median, "size_bytes": len(file)})
    here = {"architecture": "x86_64"}
    bench = {"artifacts": times, "machine": here, "target": "linux-x86", "target_profile": here}
    return {"artifacts": proofs}, bench


FLOAT = ("float", "fp32", 4.0, 0.1, 1.0, True)
SLOWER = ("slower", "fp32", 5.0, 0.1, 1.0, True)
INTEGER = ("integer", "w8a8", 2.0, 0.1, 0.97, True)


def test_the_fastest_that_passed_is_recommended_with_what_it_gains():
    found = recommend(*files(SLOWER, FLOAT, INTEGER))
    assert (found.file, found.float_file, found.to_float) == ("integer", "float", 0.5)
    assert found.sentence == (
        "Ship integer: 2 ms, the fastest of 3 files that passed the proof,"
        " 0.50 of the time of the fastest float file (4 ms)."
    )


def test_a_file_that_failed_is_not_recommended_however_fast():
    found = recommend(*files(FLOAT, ("wrong", "w8a8", 0.5, 0.1, 0.3, False)))
    assert (found.file, found.to_float) == ("float", 1.0)
    assert found.sentence == "Ship float: 4 ms, the only file that passed the proof."


def test_a_gain_that_is_small_is_explained():
    found = recommend(*files(FLOAT, ("integer", "w8a8", 3.2, 0.1, 0.97, True)))
    assert found.sentence.endswith(
        "0.80 of the time of the fastest float file (4 ms). 'edgetl explain' says where the time goes."
    )


def test_of_files_that_cannot_be_told_apart_the_most_faithful_is_taken_and_then_the_smallest():
    alike = ("float", "fp32", 2.1, 0.1, 1.0, True)
    found = recommend(*files(INTEGER, alike))
    assert found.file == "float"
    assert "of 2 files that passed the proof; no file in fewer bits is measurably faster here" in found.sentence
    assert recommend(*files(INTEGER, ("a", "w8a8", 2.15, 0.1, 0.97, True))).file == "a"
    assert recommend(*files(INTEGER, ("float", "fp32", 2.3, 0.1, 1.0, True))).file == "integer"


@pytest.mark.parametrize("missing", [0, 1])
def test_without_a_proof_or_a_time_there_is_nothing_to_say(missing):
    reports = list(files(INTEGER))
    reports[missing] = {}
    assert recommend(*reports) is None
    assert advice(*reports) == ""


def test_times_of_another_kind_of_machine_recommend_nothing():
    verify, bench = files(FLOAT, INTEGER)
    bench |= {"target": "rpi4", "target_profile": {"architecture": "aarch64"}}
    assert recommend(verify, bench) is None
    assert advice(verify, bench).startswith("No file is recommended for rpi4 (aarch64), since the times are from this")
