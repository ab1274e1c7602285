"""How much memory is left to this process."""

import resource

import psutil
import pytest

from edgetl.devices import ram

GB = 10**9


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups of the tests' own: `groups("job/step", {"memory.max": ...})` writes one."""
    monkeypatch.setattr(ram, "_GROUPS", tmp_path)
    monkeypatch.setattr(ram, "_OWN_GROUPS", tmp_path / "own")

    def write(place, files, own=None):
        (tmp_path / "own").write_text(own or "0::/job/step\n")
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (tmp_path / place / name).write_text(f"{value}\n")

    return write


def test_without_limits_it_is_what_the_system_has(groups):
    groups("job/step", {"memory.max": "max", "memory.current": 5})
    assert ram.available_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.1)


def test_a_limit_of_any_group_above_counts_and_file_caches_do_not(groups):
    groups("job/step", {"memory.max": "max", "memory.current": GB // 4})
    groups("job", {"memory.max": GB // 2, "memory.current": GB // 4, "memory.stat": f"anon 7\ninactive_file {10**6}"})
    assert ram.available_bytes() == GB // 4 + 10**6


def test_groups_of_the_first_version_count_too(groups):
    limits = {"memory.limit_in_bytes": 3 * 10**8, "memory.usage_in_bytes": 10**8}
    groups("memory/docker", limits | {"memory.stat": "total_inactive_file 50"}, own="4:memory:/docker\n3:cpu:/docker\n")
    assert ram.available_bytes() == 2 * 10**8 + 50


def test_nothing_is_left_where_more_is_used_than_allowed(groups):
    groups("job/step", {"memory.max": 10, "memory.current": 20})
    assert ram.available_bytes() == 0


def test_the_limit_of_the_process_counts(groups):
    groups("job/step", {})
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 10**8, hard))
    try:
        assert ram.available_bytes() == pytest.approx(10**8, rel=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
