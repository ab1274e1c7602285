"""The page in a real browser, where one is installed."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_the_plots_and_has_nothing_to_complain_about(make_run, page_of, tmp_path):
    context = make_run(labels=("<script>document.title='owned'</script>", "dog"))
    page_of(context)
    address = (context.out / "report.html").as_uri()
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("<svg") == 8
    assert 'id="pareto-wide-point-3"' in done.stdout
    assert "<title>mobilenetv2_100 from resnet50 on digits: files as trained</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
