import html
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import small_run
from report_context import context_of, worth_json

from edgetl.errors import DamagedFile
from edgetl.report.making import contract_steps
from edgetl.runner.contract import Contract

HOSTILE = "<script>alert(1)</script>\n\"'&"


class Elements(HTMLParser):
    """All start tags with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def readable(page):
    return " ".join(html.unescape(page).replace("\u202f", " ").split())


def rewrite(context, name, change):
    file = context.folder.path / name
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    return replace(context, folder=context_of(context.folder.path).folder)


def test_the_page_says_what_the_run_folder_says(make_run, page_of):
    text = readable(page_of(make_run()))
    for number in ("90.00 %", "95.00 %", "1.23 ms", "1.73 ms", "2.51 MB", "81.0 MB", "1.2e-6", "10.00 points"):
        assert number in text
    assert "mobilenetv2_100, distilled from resnet50" in text
    assert "4 files passed the proof on 10 test images." in text
    assert "2026-01-02 03:04 UTC" in text
    assert "On the front: <code>model.w8a8.onnx</code>, <code>model.fp32.onnx</code>." in text
    assert "CPUExecutionProvider" in text
    assert "epochs: 3" in text
    assert "learning_rate" not in text, "no stage of this run has read it"


def test_the_meaning_of_a_column_can_be_read_without_a_mouse(make_run, page_of):
    page = page_of(make_run())
    assert "<summary>What the columns mean</summary>" in page
    assert "Loss of top-1 against PyTorch, in percentage points" in readable(page)
    assert not [a for tag, a in Elements(page).found if tag == "th" and "title" in a]


def test_where_all_are_as_accurate_latency_alone_is_drawn(make_run, page_of):
    def level(data):
        for each in data["artifacts"]:
            each["top1"] = 0.9

    run = make_run()
    assert "<h2>Accuracy against latency</h2>" in readable(page_of(run))
    text = readable(page_of(rewrite(run, "verify.json", level)))
    assert "<h2>Latency</h2>" in text
    assert "All artifacts have the same top-1" in text
    assert "On the front:" not in text


def test_an_accuracy_on_few_images_has_its_interval_wherever_it_is_written(make_run, page_of):
    text = readable(page_of(make_run()))
    for words in (
        '90.00 %</dd> <dd class="note">95 % interval 59.6 to 98.2 %; mobilenetv2_100, torch 2.13.0</dd>',
        '95.00 %</dd> <dd class="note">95 % interval 72.2 to 100.0 %; resnet50, same test images</dd>',
        "Below each top-1 is its 95 % interval, since 10 test images are few.",
        '<td data-name="Top-1">80.00 %<small>49.0 to 94.3 %</small></td>',
        '<td data-name="Top-1">88.00 %<small>86.1 to 89.7 %</small></td>',
        "<title>ONNX w8a8: top-1 80.00 % (49.0 to 94.3 %), median 1.23 ms",
    ):
        assert words in text


def test_before_the_proof_the_teachers_interval_is_that_of_the_test_split(make_run, page_of):
    text = readable(page_of(make_run(without=("verify.json",))))
    assert "95 % interval 72.2 to 100.0 %; resnet50, same test images" in text


def test_an_accuracy_on_many_images_stands_alone(make_run, page_of):
    context = rewrite(make_run(), "verify.json", lambda proof: proof.update(test_images=2000))
    context = rewrite(context, "quantize.json", lambda receipt: receipt.update(validation_images=2000))
    text = readable(page_of(context))
    assert '<dd class="note">mobilenetv2_100, torch 2.13.0</dd>' in text
    assert "Below each top-1" not in text
    assert '<td data-name="Top-1">80.00 %</td>' in text
    assert '<td data-name="Top-1">88.00 %</td>' in text
    assert "<title>ONNX w8a8: top-1 80.00 %, median 1.23 ms" in text
    assert "gets 90.13 % of them right" in text


def test_latencies_of_another_machine_are_not_passed_off_as_the_targets(make_run, page_of):
    text = readable(page_of(make_run()))
    assert "Measured on this machine: Some CPU (x86_64, 4 cores, avx2), 4 threads" in text
    assert "These are not latencies of the target, Raspberry Pi 4" in text


def test_a_failed_proof_is_the_first_thing_to_see(make_run, page_of):
    def fail(data):
        data["passed"] = False
        data["artifacts"][1]["verdict"] = {"status": "FAIL", "reasons": ["top-1 fell by 10 points"]}

    context = make_run()
    context = rewrite(context, "verify.json", fail)
    text = readable(page_of(context))
    assert text.index("<b><small>Files</small>NOT AS TRAINED</b>") < text.index("<b><small>Network</small>")
    assert "1 of 4 files failed the proof on 10 test images." in text
    assert "<li>model.w8a8.onnx: top-1 fell by 10 points</li>" in text
    assert "On the front: <code>model.fp32.onnx</code>." in text


def test_few_test_images_are_not_passed_off_as_a_proof_that_the_network_is_good(make_run, page_of):
    text = readable(page_of(rewrite(make_run(), "verify.json", lambda data: data.update(worth=worth_json(6)))))
    assert '<div class="card finding open"> <b><small>Network</small>CANNOT TELL</b>' in text
    assert "Right about 60.0% of 10 test images (31.3 to 83.2%); always naming 'cat': 50.0%." in text
    assert "10 test images cannot tell much" in text
    assert "<b><small>Files</small>AS TRAINED</b>" in text


def test_the_file_to_ship_is_the_headline(make_run, page_of):
    def on_target(data):
        data["target_profile"]["architecture"] = "x86_64"

    text = readable(page_of(rewrite(make_run(), "bench.json", on_target)))
    headline = text.partition('<div class="card ship">')[2]
    assert headline.startswith(" <p>Ship model.w8a8.onnx: 1.23 ms, the fastest of 4 files that passed the proof")
    assert "<pre>edgetl predict run/model.w8a8.onnx IMAGE</pre>" in headline


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("bench.json", "There are no latencies yet. Run: edgetl bench run"),
        ("verify.json", "Nothing has been proven yet. Run: edgetl verify run"),
        ("metrics.jsonl", "Nothing was trained in this run. Run: edgetl distill"),
        ("predictions.npz", "There are no predictions yet. Run: edgetl verify run"),
        ("images/3.png", "3.png: is gone since this run read it,"),
    ],
)
def test_what_is_missing_is_said_and_not_made_up(make_run, page_of, missing, sentence):
    context = make_run(without=(missing,))
    assert sentence in readable(page_of(context))
    assert (context.out / "pareto.png").exists() == (missing not in {"bench.json", "verify.json"})


def test_the_page_stands_without_anything_but_the_data_stage(make_run, page_of):
    context = make_run(without=("bench.json", "verify.json", "metrics.jsonl", "predictions.npz"))
    text = readable(page_of(context))
    assert "NOT VERIFIED" in text
    assert "No artifact has been verified or timed yet." in text


def test_the_reasons_for_int8_have_a_section_of_their_own(make_run, page_of):
    text = readable(page_of(make_run()))
    section = text[text.index('id="explain"') : text.index('id="training"')]
    assert "Fastest: <code>model.w8a8.onnx</code>, 1.23 ms." in section
    assert "<strong>Not the target.</strong> Go there." in section
    assert "ONNX: w8a8 is 1.23 times as fast.</h3> <p>Ship it.</p>" in section
    assert "53 layers.<small>Here they win.</small>" in section
    assert '<td data-name="Share">75 %<span class="bar"><i style="width: 75.0%"></i></span></td>' in section
    assert '<td data-name="Time">0.876 ms</td>' in section
    assert 'One thread was used.<small>More.</small></td> <td data-name="Share">–</td>' in section
    assert "onnxruntime 1.31.1 (CPUExecutionProvider), 1 thread. Shares of 1.17 ms." in section


def test_a_receipt_of_another_edgetl_is_one_line(make_run, page_of):
    context = make_run()
    context = rewrite(context, "quantize.json", lambda receipt: receipt.update(schema_version=1))
    problem = r"quantize\.json: cannot be used \(schema version 1, this edgetl reads 3\)\. Make it again: edgetl quan"
    with pytest.raises(DamagedFile, match=problem):
        page_of(context)


def test_a_report_that_holds_something_else_is_one_line(make_run, page_of):
    context = make_run()
    context = rewrite(context, "bench.json", lambda bench: bench["artifacts"][0]["inference"].update(p50_ms="fast"))
    with pytest.raises(DamagedFile, match=r"bench\.json: cannot be used \(artifacts\.0\.inference\.p50_ms: input"):
        page_of(context)


def test_the_receipt_of_quantization_is_shown(make_run, page_of):
    text = readable(page_of(make_run()))
    section = text[text.index('id="quantization"') : text.index('id="explain"')]
    for words in (
        "1,234 validation images. The float network gets 90.13 % (88.3 to 91.7 %) of them right",
        "Allowed: 1.00 points of top-1 and 5.00 % changed answers",
        "top-1 differs by 0.67 points",
        "Something to know.",
        "3.40 %<small>2.1 % to 5.4 %</small>",
        "1.26 ms",
        "2.61 MB",
        "3.7 s",
        "2 layers in float",
        "✗ does not run",
        "The 20 noisiest of 24 parts",
        "All 24 parts",
        "31.4",
        "<small>± 0.37</small>",
        "<li>ONNX w8: it would be slower.</li>",
    ):
        assert words in section
    assert (section.count("✓ inside"), section.count("✗ does not run")) == (1, 1)
    assert "TFLite w8a8: ranges <small>nothing better</small>" in section
    assert section.count("1 part in float, kept") == 1
    assert "mse ranges, kept" not in section


def test_without_sensitivities_or_files_that_ran_there_are_no_such_figures(make_run, page_of):
    def nothing(data):
        data["sensitivity"] = None
        data["attempts"] = data["attempts"][2:]

    context = make_run()
    context = rewrite(context, "quantize.json", nothing)
    section = page_of(context).partition('id="quantization"')[2].partition('id="explain"')[0]
    assert "<svg" not in section
    assert "does not run" in section


def test_a_run_that_was_not_quantized_has_no_receipt(make_run, page_of):
    assert "What quantization cost" not in page_of(make_run(without=("quantize.json",)))


def test_a_run_that_nobody_asked_to_explain_has_no_such_section(make_run, page_of):
    assert "Why int8" not in page_of(make_run(without=("explain.json",)))


def test_names_of_operators_stay_text(make_run, page_of):
    def attack(data):
        data["formats"][0]["findings"][1] |= {"what": HOSTILE, "advice": HOSTILE}
        data["formats"][0]["origin"] = data["about_machine"][0]["what"] = HOSTILE

    context = make_run()
    context = rewrite(context, "explain.json", attack)
    page = page_of(context)
    assert not [tag for tag, _ in Elements(page).found if tag == "script"]
    assert html.unescape(page).count(HOSTILE) == 4


def test_hostile_labels_stay_text(make_run, page_of):
    page = page_of(make_run(labels=(HOSTILE, "dog\udce9")))
    elements = Elements(page).found
    assert not [tag for tag, _ in elements if tag == "script"]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert HOSTILE in html.unescape(page)


def test_nothing_is_loaded_from_elsewhere(make_run, page_of):
    page = page_of(make_run())
    elements = Elements(page).found
    loaded = [a[name] for _, a in elements for name in ("src", "href", "xlink:href", "srcset", "action") if name in a]
    assert loaded
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert page.count("url(") == page.count("url(#")
    assert "@import" not in page
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in elements}


def test_the_pictures_show_the_mistake_first_and_the_changed_mind_of_the_quantized(make_run, page_of):
    text = readable(page_of(make_run()))
    assert "The trained network is wrong on 1 of 10 test images." in text
    assert text.index("says cat") < text.index("ONNX w8a8: cat, 87.5 %")
    assert "TFLite w8a8: cat, 87.5 %" in text
    assert text.count('class="pixelated"') == 10


def test_a_picture_that_was_exchanged_is_not_shown(make_run, page_of):
    context = make_run()
    (context.folder.path / "images" / "3.png").write_bytes((context.folder.path / "images" / "4.png").read_bytes())
    text = readable(page_of(context))
    assert "3.png: has changed since this run read it" in text
    assert "data:image" not in text


def test_a_thousand_classes_with_long_names_fit_on_a_page(make_run, page_of):
    labels = tuple(f"{n} " + "very long name of a class " * 4 for n in range(1000))
    assert "1000 classes, in the order of the outputs" in readable(page_of(make_run(labels=labels)))


def test_a_second_report_has_the_same_bytes(make_run, page_of):
    context = make_run()
    first = page_of(context), (context.out / "pareto.png").read_bytes()
    assert (page_of(context), (context.out / "pareto.png").read_bytes()) == first


def test_the_page_does_not_tell_where_the_teacher_lay(make_run, page_of):
    page = page_of(make_run())
    assert "/home/me" not in page
    assert "ab" * 32 in page


def test_the_teachers_time_counts(make_run, page_of):
    text = readable(page_of(make_run()))
    assert "<dt>distill</dt><dd>1 min 15 s</dd>" in text
    assert "<dt>total</dt><dd>2 min 00 s</dd>" in text


def pruned(context, **changed):
    candidate = {
        "kept": 0.67,
        "parameters": 1_000_000,
        "latency_ratio": 0.56,
        "p50_ms": 0.387,
        "unpruned_p50_ms": 0.701,
    }
    report = {
        "schema_version": 1,
        "baseline": {"parameters": 2_240_000},
        "candidates": [{**candidate, "kept": 0.78, "latency_ratio": 0.7}, candidate],
        "kept": 0.67,
        "multiple": 8,
        "format": "openvino",
        "wish": 0.6,
        "reached": True,
        "why": "the mildest that takes at most 0.6 of the time",
    }
    unpruned = context.folder.path / "unpruned"
    unpruned.mkdir()
    (unpruned / "prune.json").write_text(json.dumps(report | changed), encoding="utf-8")
    record = {"prune": {"seconds": 45.0, "files": ["prune.json"]}}
    return replace(context, unpruned=small_run.run_of(unpruned, record, role="unpruned"))


def test_what_pruning_did_is_said(make_run, page_of):
    text = readable(page_of(pruned(make_run())))
    assert (
        "the student was pruned to 67 % of its channels, in multiples of 8: from 2.24 to 1.00 million parameters, and"
        " to 0.56 of the time (openvino, one thread, on the training machine: 0.387 ms against 0.701 ms); 0.6 was asked"
        " for, and 2 widths were measured."
    ) in text
    assert "<dt>unpruned: prune</dt><dd>45.0 s</dd>" in text


def test_a_wish_that_was_not_reached_is_said(make_run, page_of):
    text = readable(page_of(pruned(make_run(), reached=False, why="0.6 of the time cannot be reached")))
    assert "2 widths were measured. 0.6 of the time cannot be reached." in text


def test_pruning_that_was_dropped_is_said(make_run, page_of):
    text = readable(page_of(pruned(make_run(), kept=None, why="no width is faster than the unpruned student here")))
    assert "Pruning was asked for, but dropped: no width is faster than the unpruned student here;" in text


def test_a_run_without_pruning_says_nothing_of_it(make_run, page_of):
    text = readable(page_of(make_run()))
    assert "pruned to" not in text
    assert "Pruning was asked for" not in text


def test_the_contract_in_words_names_the_crop_only_where_there_is_one():
    squash, crop = (Contract(("a", "b"), 16, 24, resize, 0.875, "bicubic") for resize in ("squash", "crop"))
    assert "Resize to 24 × 16 pixels, whatever the aspect ratio (bicubic, antialiased)." in contract_steps(squash)
    assert (
        "Crop the largest centred box of aspect ratio 24 × 16, keep its central 87.5 % each way, "
        "and resize it to 24 × 16 pixels (bicubic, antialiased)."
    ) in contract_steps(crop)
