"""The benchmarks run, on models of moments; what they measure here means nothing."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
SMALL = ["--channels", "16", "32", "--latent-size", "8", "--steps", "1", "--repeats", "1"]


def test_rivals_have_the_same_parameters_and_a_rate_for_each_batch():
    from measuring import TextaeTrainer, random_batch
    from rivals import KerasTrainer
    from textae.config.schema import ModelConfig

    config = ModelConfig(channels=[16, 32], latent_size=8)
    ours, keras = TextaeTrainer(config, 60), KerasTrainer(config, 60)
    assert ours.parameters == keras.parameters
    batch, asked = random_batch(60, 2, 8), []
    assert ours([batch] * 2) == keras([batch] * 2, lambda number: asked.append(number) or 0.001) == 32
    assert asked == [0, 1]
    inside = 2 * 4 * 16 * 32 + 2 * (3 * 32 * 64 + 64 * 32) + 2 * 32 * 8
    assert ours.operations(4) == 6 * (inside / 4 + 60 * 16)


def test_parameters_of_pytorch():
    pytest.importorskip("torch")
    from rivals import keras_autoencoder
    from rivals_torch import Convolutional, parameters, recurrent
    from textae.config.schema import ModelConfig

    config = ModelConfig()
    wanted = keras_autoencoder(config, 8192).count_params()
    assert parameters(Convolutional(config, 8192)) == wanted == 7_476_864
    assert abs(parameters(recurrent(8192, 256, wanted)) / wanted - 1) < 0.02


def test_a_model_that_the_rivals_have_not_is_refused():
    from rivals import sizes
    from textae.config.schema import ModelConfig

    with pytest.raises(ValueError, match="expected one stride"):
        sizes(ModelConfig(strides=[2, 2], channels=[8, 8, 8], residual_blocks=[0, 0, 1]))


@pytest.mark.parametrize("devices", [1, 2, 5])
def test_a_simulated_ring_takes_what_is_reckoned(devices):
    from scaling_plan import Link, Model, efficiency, ring, simulated, step_seconds

    link, model = Link("", 1e9, 1e-3), Model("", 1e7, 1e4, 0.25)
    assert ring(4e7, 5, link) == pytest.approx(8 * (4e7 / 5 / 1e9 + 1e-3))
    seconds = step_seconds(model, 4e4, devices, link)
    assert simulated(model, 4e4, devices, link) == pytest.approx(seconds)
    assert simulated(model, 4e4, devices, link, spread=0.1) != pytest.approx(seconds)
    assert (efficiency(model, 4e4, devices, link) == 1) == (devices == 1)


def test_text_is_repeated_up_to_a_size(tmp_path):
    from benchmark_preparing import repeated

    (tmp_path / "a.txt").write_text("one\ntwo\n")
    files = [str(tmp_path / "a.txt")]
    assert repeated(files, tmp_path / "b.txt", copies=2).read_text() == "one\ntwo\n" * 2
    assert repeated(files, tmp_path / "b.txt", megabytes=10e-6).read_text() == "one\ntwo\none\n"
    with pytest.raises(ValueError, match="received neither"):
        repeated(files, tmp_path / "b.txt")


@pytest.mark.slow
def test_training_beside_others(corpus_file, tmp_path, data_dir):
    pytest.importorskip("torch")
    command = [str(corpus_file), *SMALL, "--torch", "eager", "--rows", "4", "--length", "8", "--vocabulary", "300"]
    command += ["--data", str(data_dir), "--json", str(tmp_path / "found.json"), "--processes", "1"]
    command += ["--vocabularies", "300", "--only", "padded", "reviews", "lstm", "memory"]
    done = subprocess.run([sys.executable, str(SCRIPTS / "benchmark_training.py"), *command], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["padded"]["best_torch"].startswith("PyTorch, eager")
    assert 0 < found["reviews"]["real_share"]["padded"] < found["reviews"]["real_share"]["bucketed"] <= 1
    assert found["lstm"]["rows"][1]["times the LSTM"] == 1
    assert set(found["memory"]["megabytes"]) == {"textae", "plain Keras"}


@pytest.mark.slow
def test_plain_keras_until_an_accuracy(corpus_file, data_dir):
    from benchmark_training import keras_until, parsed
    from textae.data.preparation import prepare

    command = [str(corpus_file), *SMALL, "--eval-every-steps", "2", "--reach", "1", "--data", str(data_dir)]
    options = parsed(command)
    prepared = prepare(options.data, options.corpus, options.tokenizer)
    found = keras_until(options, prepared, "a plan", 4, lambda step: 0.001, 60.0)
    assert (found["steps"], found["reached"]) == (4, False) and 0 <= found["accuracy"] < 1
    options.reach = 0.0
    assert keras_until(options, prepared, "a plan", 4, lambda step: 0.001, 60.0)["steps"] == 2


@pytest.mark.slow
def test_scaling(corpus_file, tmp_path, data_dir):
    from benchmark_scaling import main

    command = [str(corpus_file), *SMALL, "--positions", "128", "--lengths", "64", "128", "--vocabulary", "300"]
    command += ["--vocabularies", "64", "256", "--megabytes", "0.05", "--data", str(data_dir)]
    main([*command, "--json", str(tmp_path / "found.json"), "--plot", str(tmp_path / "found.png")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["length"] for row in found["length"]] == [64, 128]
    assert found["vocabulary"][1]["products, times the first"] > 1
    assert found["preparing"][0]["documents"] > 100
    assert (tmp_path / "found.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="expected lengths that divide 128"):
        main([*command, "--lengths", "96"])


def test_sentences_of_a_batch_are_of_the_same_length():
    pytest.importorskip("torch")
    from benchmark_sentences import BATCH, by_length

    found = by_length([[5], [6, 7], [], [8]] + [[9, 9]] * BATCH)
    assert found[0] == [0, 3]
    assert [len(numbers) for numbers in found] == [2, BATCH, 1]
    assert sorted(itertools.chain(*found)) == [0, 1, *range(3, BATCH + 4)]


@pytest.mark.slow
def test_the_recurrent_sentences_learn(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    import benchmark_sentences

    for name, value in (("EMBEDDING", 32), ("HIDDEN", 64), ("DROPOUT", 0.0), ("WORDS", 7)):
        monkeypatch.setattr(benchmark_sentences, name, value)
    (tmp_path / "train.txt").write_text("one two three four five six seven\n" * 50 + "six five\n")
    (tmp_path / "test.txt").write_text("one two three four five six seven\n" * 4)
    command = [str(tmp_path / "train.txt"), str(tmp_path / "test.txt"), "--minutes", "0.2", "--every", "0.1"]
    found = benchmark_sentences.main([*command, "--json", str(tmp_path / "found.json")])
    assert found["bleu"] > 60
    assert list(json.loads((tmp_path / "found.json").read_text()).values()) == [found]
    assert "of 300 sentences" in capsys.readouterr().out


@pytest.mark.slow
def test_fine_tuning_beside_training_from_scratch(trained, corpus_file, monkeypatch, capsys):
    import benchmark_fine_tuning

    command = [str(trained[0]), str(corpus_file), "--steps", "2", "--every", "1", "--documents", "5"]
    command += ["--goal", "0.5", "--set", "training.learning_rate=1e-9", "training.warmup_steps=0"]
    monkeypatch.setattr(sys, "argv", ["benchmark_fine_tuning.py", *command])
    benchmark_fine_tuning.main()
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("    update ") for line in lines) == 6
    tuned, scratch = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[-2:])
    assert (tuned[0], tuned[3], scratch[0]) == ("fine-tuned", "0", "from scratch")  # it begins above the goal
    assert float(tuned[5]) == pytest.approx(trained[1]["token_accuracy"], abs=0.1) and float(tuned[7]) < 1


PROGRAM = """HloModule step

%body (state: (s32[], bf16[4,8])) -> (s32[], bf16[4,8]) {
  %state = (s32[], bf16[4,8]{1,0}) parameter(0)
  %rows = bf16[4,8]{1,0} get-tuple-element(%state), index=1
  %product = f32[4,4]{1,0} fusion(%rows), kind=kCustom, metadata={op_name="jit(step)/dot_general"}
}

ENTRY %main (rows: bf16[4,8], ids: s32[4]) -> (f32[4], f32[]) {
  %rows = bf16[4,8]{1,0} parameter(0)
  %ids = s32[4]{0} parameter(1)
  %loop = (s32[], bf16[4,8]{1,0}) while(%rows), body=%body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %sums = (f32[4]{0}, f32[]) fusion(%rows, %ids), kind=kInput, calls=%another
}
"""


def test_kernels_of_a_program_move_operands_and_outputs_as_often_as_their_loop_runs():
    from gpu_traffic import kernels

    product, sums = kernels(PROGRAM)
    assert product == (3, 64 + 64, "product", "jit(step)/dot_general")
    assert sums == (1, 64 + 16 + 16 + 4, "sums", "")
