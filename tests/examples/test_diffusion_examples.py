"""The diffusion and flow examples: equations on the page, sampling, resuming, a trained model."""

import argparse
import json
import math
import signal
import sys

import numpy as np
import pytest
from programs import FOLDER, example

import tinygen as tg
from tinygen import data, diffusion, flow, image, models, vae
from tinygen.diffusion import editing, samplers
from tinygen.flow import ode
from tinygen.run import Run, RunError, checkpoint

NAMES = [
    "diffusion_mnist",
    "flow_mnist",
    "diffusion_variants",
    "flow_variants",
    "inpaint_mnist",
    "superres_mnist",
    "latent_diffusion",
]
page, flow_page, variants, flows, inpaint, superres, latents = map(example, NAMES)

SHAPE = (8, 8, 1)


def generator(seed=0):
    return np.random.default_rng(seed)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


def random_weights(module, size=0.1):
    """The module with random weights, also where the initial ones are zeros."""
    for i, p in enumerate(module.parameters()):
        p.data = tg.xp.asarray(generator(i).normal(0, size, p.shape), "f4")
    return module


def unet(null=None, size=0.1):
    return random_weights(models.small_unet(SHAPE, 8, null, rng=generator()), size)


def model(null=None, predicts="v", size=0.1):
    return diffusion.Diffusion(unet(null, size), diffusion.cosine(50), predicts, clip=1.0)


def settings(**options):
    usual = {"sampler": "ddim", "solver": "heun", "steps": 4, "guidance": 2.0, "resample": 2}
    return argparse.Namespace(**usual | options)


@pytest.fixture
def main(monkeypatch):
    """`main(module, folder, *options)` runs a program without its pictures, which take long"""
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(image, "compare", lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    monkeypatch.setattr(flow, "straightness", lambda *_, **__: 0.0)
    monkeypatch.setattr(flows, "bits", lambda *_: np.zeros(1))
    for module in (page, flow_page, variants, flows, latents):
        monkeypatch.setattr(module, "judge", lambda *_, **__: None)
    for module in (variants, flows):
        monkeypatch.setattr(module, "FILMED", 2)
        monkeypatch.setattr(module, "draw", lambda *_, **__: None)
    monkeypatch.setattr(page, "ddim", lambda network, x, *_: x)
    monkeypatch.setattr(flow_page, "midpoint", lambda network, x, *_: x)

    def run(module, folder, *options):
        small = ["--quick", "--batch-size", "32"] if "--resume" not in options else []
        monkeypatch.setattr(sys, "argv", [module.__name__, "--out", str(folder), *small, *options])
        module.main()

    return run


def rows(folder):
    """The log without the seconds"""
    lines = (folder / "log.csv").read_text("utf-8").splitlines()
    return [line.split(",")[:2] + line.split(",")[3:] for line in lines]


def parts(folder):
    return checkpoint.read(folder / "checkpoint.npz")[1]


def assert_same_parts(a, b):
    whole, resumed = parts(a), parts(b)
    assert sorted(whole) == sorted(resumed)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])


def stopped_at(monkeypatch, module, step):
    """Ctrl-C in that step of `module.train`"""
    train = module.train

    def interrupted(*arguments, **options):
        for number, terms in enumerate(train(*arguments, **options), 1):
            if number == step:
                signal.raise_signal(signal.SIGINT)
            yield terms

    monkeypatch.setattr(module, "train", interrupted)


# --- diffusion_mnist and flow_mnist: their own losses and samplers --------------------------------

each_page = pytest.mark.parametrize("module", [page, flow_page], ids=lambda m: m.__name__)


def images(n=6):
    return tg.Tensor(tg.xp.asarray(generator(5).uniform(-1, 1, (n, *SHAPE)), "f4"))


def assert_same_loss(found, expected, params):
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(tg.grad(found, params), tg.grad(expected, params), strict=True):
        assert np.abs(host(theirs)).max() > 0
        np.testing.assert_allclose(host(ours), host(theirs), rtol=1e-4, atol=1e-6)


def test_the_diffusion_loss_on_the_page_equals_the_librarys_for_the_same_times_and_noise():
    net, x, labels = unet(3), images(), np.array([0, 1, 2, 3, 0, 3])
    known = diffusion.Diffusion(net, diffusion.cosine(1000), "v")
    expected = diffusion.denoising_loss(known, x, labels, rng=generator(1)).loss
    rng = generator(1)  # the same random numbers, in the library's order
    t = rng.integers(1, 1001, 6)
    eps = tg.xp.asarray(rng.standard_normal(x.shape, np.float32))
    found = page.denoising_loss(net, x, tg.xp.asarray(labels), t, eps)
    assert_same_loss(found, expected, net.parameters())


def test_the_flow_loss_on_the_page_equals_the_librarys_for_the_same_times_and_noise():
    net, x, labels = unet(3), images(), tg.xp.asarray([0, 1, 2, 3, 0, 3])
    expected = flow.flow_loss(flow.UnitTime(net), x, labels, rng=generator(1))
    rng = generator(1)
    z, t = rng.standard_normal(x.shape, np.float32), rng.random(6, np.float32)
    t, z = tg.xp.asarray(t), tg.xp.asarray(z)
    assert_same_loss(flow_page.flow_loss(net, x, labels, t, z), expected, net.parameters())


def test_the_sampler_on_the_diffusion_page_equals_the_librarys_ddim():
    net, noise, labels = (
        unet(3),
        generator(2).standard_normal((5, *SHAPE), np.float32),
        (np.arange(5) % 3),
    )
    known = diffusion.Diffusion(net, diffusion.cosine(1000), "v", clip=1.0)
    guided = samplers.guided(known, page.GUIDANCE, 3)
    steps = list(samplers.ddim(guided, noise, labels, steps=page.STEPS))
    film = image.Animation(100)
    found = page.ddim(net, tg.xp.asarray(noise), tg.xp.asarray(labels), 3, film)
    np.testing.assert_allclose(host(found), host(steps[-1].x), atol=1e-4)
    assert film.seen == len(steps)
    assert np.abs(host(found) - noise).max() > 0.5


def test_the_solver_on_the_flow_page_equals_the_librarys_midpoint_method():
    net, noise, labels = (
        unet(3),
        generator(2).standard_normal((5, *SHAPE), np.float32),
        (np.arange(5) % 3),
    )
    guided = samplers.guided(flow.UnitTime(net), flow_page.GUIDANCE, 3)
    times = np.linspace(0, 1, flow_page.STEPS + 1)
    expected = flow.transport(guided, noise, labels, times=times, step=ode.midpoint)
    film = image.Animation(100)
    found = flow_page.midpoint(net, tg.xp.asarray(noise), tg.xp.asarray(labels), 3, film)
    np.testing.assert_allclose(host(found), expected, atol=1e-4)
    assert film.seen == flow_page.STEPS
    assert np.abs(host(found) - noise).max() > 0.1


@each_page
@pytest.mark.parametrize("step", [1, 3])
def test_a_resumed_front_program_ends_as_an_uninterrupted_one(
    module, step, monkeypatch, main, tmp_path
):
    options = ["--data", "digits", "--train", "64", "--epochs", "3"]
    main(module, tmp_path / "a", *options)
    name = "denoising_loss" if module is page else "flow_loss"
    loss, calls = getattr(module, name), []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == step:
            signal.raise_signal(signal.SIGINT)
        return loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        with pytest.raises(SystemExit):
            main(module, tmp_path / "b", *options)
    assert len(rows(tmp_path / "b")) == 1 + step
    main(module, tmp_path / "b", "--resume")
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and len(rows(tmp_path / "a")) == 1 + 6
    assert_same_parts(tmp_path / "a", tmp_path / "b")


@each_page
def test_a_front_program_samples_with_averaged_weights(module, monkeypatch, main, tmp_path):
    weights = []

    def watched(network, x, *_):
        weights.append(network.state_dict())
        return x

    monkeypatch.setattr(module, "ddim" if module is page else "midpoint", watched, raising=True)
    main(module, tmp_path, "--data", "digits", "--train", "64")
    saved = parts(tmp_path)
    last = "denoiser" if module is page else "velocity"
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{name}"])
    assert any((array != saved[f"{last}/{name}"]).any() for name, array in weights[0].items())


@each_page
def test_a_front_program_accepts_unlabelled_images_of_any_size(module, monkeypatch, main, tmp_path):
    images = data.Labelled(generator().random((40, 12, 8, 3)).astype(np.float32), None)
    monkeypatch.setattr(data, "load", lambda *_, **__: (images, images))
    main(module, tmp_path, "--data", "digits")
    assert len(rows(tmp_path)) == 1 + 1


# --- diffusion_variants ---------------------------------------------------------------------------


def test_values_beyond_black_and_white_are_clipped():
    found = variants.as_images(np.array([-3.0, -1.0, 0.0, 1.0, 2.0]))
    assert found.tolist() == [0, 0, 0.5, 1, 1]


def test_a_guidance_weight_of_1_samples_from_the_class_conditional_model():
    found, labels = variants.generate(model(3), 5, SHAPE, settings(guidance=1.0), 3, seed=1)
    noise = generator(1).standard_normal((5, *SHAPE), np.float32)
    expected = samplers.last(samplers.ddim(model(3), noise, labels, steps=4))
    np.testing.assert_allclose(found, (expected.clip(-1, 1) + 1) / 2, atol=1e-6)
    more, _ = variants.generate(model(3), 5, SHAPE, settings(guidance=3.0), 3, seed=1)
    assert np.abs(more - found).max() > 1e-3


def test_a_guidance_weight_of_0_samples_from_the_unconditional_model():
    found, _ = variants.generate(model(3), 5, SHAPE, settings(guidance=0.0), 3, seed=1)
    noise = generator(1).standard_normal((5, *SHAPE), np.float32)
    expected = samplers.last(samplers.ddim(model(3), noise, np.full(5, 3), steps=4))
    np.testing.assert_allclose(found, (expected.clip(-1, 1) + 1) / 2, atol=1e-6)


def test_changed_options_replace_the_settings():
    noise = generator(1).standard_normal((2, *SHAPE), np.float32)
    found, labels = variants.generate(
        model(), 2, SHAPE, settings(), None, seed=1, sampler="heun", steps=3
    )
    expected = samplers.last(samplers.heun(model(), noise, steps=3))
    np.testing.assert_allclose(found, (expected.clip(-1, 1) + 1) / 2, atol=1e-6)
    assert labels is None


def test_an_invalid_number_of_steps_is_rejected_before_the_training(monkeypatch, capsys):
    for steps in ("1", "1001"):
        monkeypatch.setattr(sys, "argv", ["x", "--data", "digits", "--steps", steps])
        with pytest.raises(SystemExit):
            variants.arguments()
        assert "argument --steps: expected" in capsys.readouterr().err


def test_a_resumed_run_ends_as_an_uninterrupted_one(monkeypatch, main, tmp_path):
    options = ["--data", "digits", "--train", "64", "--epochs", "3"]
    main(variants, tmp_path / "a", *options)
    with monkeypatch.context() as patch:
        stopped_at(patch, diffusion, 3)
        with pytest.raises(SystemExit):
            main(variants, tmp_path / "b", *options)
    assert len(rows(tmp_path / "b")) == 1 + 3
    main(variants, tmp_path / "b", "--resume")
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and len(rows(tmp_path / "a")) == 1 + 6
    assert_same_parts(tmp_path / "a", tmp_path / "b")


def test_a_finished_run_can_be_sampled_again_with_other_options(monkeypatch, main, tmp_path):
    main(variants, tmp_path, "--data", "digits", "--train", "32")
    seen = []
    monkeypatch.setattr(variants, "draw", lambda run, model, shape, args, null: seen.append(args))
    main(variants, tmp_path, "--resume", "--sampler", "ddim", "--steps", "7", "--guidance", "4")
    (args,) = seen
    assert (args.sampler, args.steps, args.guidance, args.train) == ("ddim", 7, 4.0, 32)


def test_sampling_uses_averaged_weights_and_the_checkpoint_has_both(monkeypatch, main, tmp_path):
    found = {}
    monkeypatch.setattr(
        variants, "draw", lambda run, model, *_: found.update(model.network.state_dict())
    )
    main(variants, tmp_path, "--data", "digits", "--train", "64")
    saved = parts(tmp_path)
    for name, array in found.items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{name}"])
    assert any((array != saved[f"denoiser/{name}"]).any() for name, array in found.items())


# --- flow_variants --------------------------------------------------------------------------------


def field(null=None, size=0.1):
    return flow.UnitTime(unet(null, size))


def test_dequantised_grey_values_fill_adjacent_intervals():
    grey = np.arange(256).repeat(200)
    x = flows.dequantise((grey / 255).astype(np.float32), rng=generator())
    assert x.dtype == np.float32
    assert -1 <= x.min() < x.max() <= 1
    assert (np.floor((x.astype(np.float64) + 1) * 128) == grey).mean() > 0.999  # rounding errors
    np.testing.assert_allclose(((x + 1) * 128 - grey).mean(), 0.5, atol=0.01)
    np.testing.assert_allclose(((x + 1) * 128 - grey).std(), 1 / math.sqrt(12), atol=0.01)


def first_velocity(noise, labels):
    inputs = (noise, np.zeros(len(noise), "f4"), labels)
    return host(field(3)(*(tg.Tensor(tg.xp.asarray(array)) for array in inputs)))


def test_one_euler_step_follows_the_velocity_at_the_noise():
    noise, labels = flows.start(4, SHAPE, 3, seed=1)
    found = flows.solve(field(3), noise, labels, 3, "euler", 1, 1.0)
    np.testing.assert_allclose(found, noise + first_velocity(noise, labels), atol=1e-6)
    assert labels.tolist() == [0, 1, 2, 0]


def test_flows_are_guided():
    noise, labels = flows.start(4, SHAPE, 3, seed=1)
    conditional, any_digit = (first_velocity(noise, y) for y in (labels, np.full(4, 3)))
    for w in (0.0, 3.0):
        found = flows.solve(field(3), noise, labels, 3, "euler", 1, w)
        expected = noise + any_digit + w * (conditional - any_digit)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_all_solvers_agree_with_the_adaptive_one(solver):
    noise, labels = flows.start(3, SHAPE, 3, seed=1)
    net = field(3)
    exact = flows.solve(net, noise, labels, 3, "adaptive", 1, 2.0)
    steps = 100 if solver == "euler" else 10
    found = flows.solve(net, noise, labels, 3, solver, steps, 2.0)
    assert np.abs(exact - noise).max() > 0.1
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact - noise).max())


def test_bits_per_dimension_are_those_of_256_grey_values():
    net = field(size=0.0)  # a velocity of 0: noise stays where it is
    images = generator().integers(256, size=(5, *SHAPE)).astype(np.float32) / 255
    found = flows.bits(net, None, images, settings(measured=3))
    rng = generator(9)
    x = flows.dequantise(images[rng.permutation(5)[:3]], rng=rng).astype(np.float64)
    log_p = -0.5 * (x**2 + math.log(2 * math.pi)).sum(axis=(1, 2, 3)) - 64 * math.log(128)
    np.testing.assert_allclose(found, -log_p / (64 * math.log(2)), rtol=1e-4)


def test_both_stages_of_flows_resume_where_they_stopped(monkeypatch, main, tmp_path):
    monkeypatch.setattr(flows, "PAIR_STEPS", 1)
    options = [
        "--data",
        "digits",
        "--train",
        "64",
        "--epochs",
        "1",
        "--pairs",
        "32",
        "--reflow-epochs",
        "2",
    ]
    main(flows, tmp_path / "a", *options, "--reflow")
    main(flows, tmp_path / "b", *options)
    with monkeypatch.context() as patch:
        patch.setattr(flows, "learn_reflow", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(SystemExit):
            main(flows, tmp_path / "b", "--resume", "--reflow")
    main(flows, tmp_path / "b", "--resume")
    for stage in (".", "reflow"):
        whole, resumed = parts(tmp_path / "a" / stage), parts(tmp_path / "b" / stage)
        for name, array in whole.items():
            np.testing.assert_array_equal(array, resumed[name])
    made = (tmp_path / "b" / "reflow" / "pairs.npz").stat().st_mtime_ns
    main(flows, tmp_path / "b", "--resume", "--solver", "euler")
    assert (tmp_path / "b" / "reflow" / "pairs.npz").stat().st_mtime_ns == made
    assert not (tmp_path / "b" / "reflow-1").exists()
    main(flows, tmp_path / "b", "--resume", "--epochs", "2")
    assert (tmp_path / "b" / "reflow-1").exists()


def test_reflow_starts_from_the_first_network_and_trains_on_its_pairs(monkeypatch, tmp_path):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    args = settings(pairs=6, width=8, seed=0, batch_size=6, reflow_epochs=1)
    net, seen = field(3), []
    noise, labels = flows.start(6, SHAPE, 3, seed=7)
    ends = flows.solve(net, noise, labels, 3, "heun", flows.PAIR_STEPS, flows.GUIDANCE)

    def train(second, batches, optimizer, *, rng, ema, loss):
        for name, array in second.state_dict().items():
            np.testing.assert_array_equal(array, net.state_dict()[name])
        seen.extend(batches)
        assert loss is flow.reflow_loss
        return iter(())

    monkeypatch.setattr(flow, "train", train)
    with Run(tmp_path / "run") as run:
        flows.learn_reflow(run, args, net, SHAPE, 3)
    ((pairs, pair_labels),) = seen
    order = [np.abs(noise - x).sum(axis=(1, 2, 3)).argmin() for x in host(pairs)[:, 0]]
    np.testing.assert_allclose(host(pairs), np.stack([noise, ends], axis=1)[order], atol=1e-5)
    assert host(pair_labels).tolist() == labels[order].tolist()


# --- inpaint_mnist --------------------------------------------------------------------------------


def held_out(n=3):
    return generator(2).random((n, *SHAPE)).astype(np.float32)


def test_the_masks_hide_the_lower_half_a_square_or_three_pixels_in_four():
    masks = inpaint.masks((28, 28, 1), generator())
    for mask in masks.values():
        assert mask.shape == (28, 28, 1) and set(np.unique(mask)) == {0, 1}
    assert masks["half"][:14].all() and not masks["half"][14:].any()
    hidden = np.argwhere(masks["square"][..., 0] == 0)
    assert hidden.min(axis=0).tolist() == [7, 7] and hidden.max(axis=0).tolist() == [20, 20]
    assert (masks["square"] == 0).sum() == 14 * 14
    assert masks["pixels"].mean() == pytest.approx(0.25, abs=0.05)


def test_completions_keep_the_known_pixels_and_differ_in_the_others():
    x, mask = held_out(), inpaint.masks(SHAPE, generator())["half"]
    found = [
        inpaint.complete(model(), None, x, mask, settings(), generator(seed)) for seed in (1, 2)
    ]
    for each in found:
        np.testing.assert_allclose(mask * each, mask * x, atol=1e-6)
        assert 0 <= each.min() < each.max() <= 1
    assert (np.abs(found[0] - found[1]).reshape(3, -1).max(axis=1) > 0.1).all()


def test_the_animation_has_every_step_and_ends_with_the_completion():
    x, mask = held_out(), inpaint.masks(SHAPE, generator())["half"]
    film = image.Animation(100)
    found = inpaint.complete(model(), None, x, mask, settings(), generator(), film)
    assert film.seen == 8
    np.testing.assert_allclose(film._frames[-1][0][..., :1] / 255, found, atol=1 / 255)


def test_the_model_gets_the_label_of_any_digit(monkeypatch):
    seen = []
    denoise = diffusion.Diffusion.denoise

    def watched(self, x, t, classes=None):
        seen.append(classes)
        return denoise(self, x, t, classes)

    monkeypatch.setattr(diffusion.Diffusion, "denoise", watched)
    small = np.full((2, 4, 4, 1), 0.5, np.float32)
    mask = inpaint.masks(SHAPE, generator())["half"]
    inpaint.complete(model(3), 3, held_out(2), mask, settings(), generator())
    superres.ddnm(model(3), 3, small, settings(factor=2), generator())
    assert len(seen) == 16
    for classes in seen:
        assert classes.tolist() == [3, 3]


each_stage = pytest.mark.parametrize("module", [inpaint, superres], ids=lambda m: m.__name__)


@each_stage
def test_a_trained_model_has_averaged_weights(module, main, tmp_path):
    main(page, tmp_path, "--data", "digits", "--train", "64")
    known, null, name, train, _ = module.trained(settings(quick=False, model=tmp_path))
    saved = parts(tmp_path)
    for key, array in known.network.state_dict().items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{key}"])
    assert (known.predicts, null, name, known.clip) == ("v", 10, "digits", 1.0)
    np.testing.assert_allclose(known.schedule.alpha_bar, page.ALPHA_BAR.ravel(), rtol=1e-12)
    expected, _ = data.load("digits", train=64, test=0)
    np.testing.assert_array_equal(train.images, expected.images)


@each_stage
def test_a_model_of_another_variant_is_restored_as_it_was_trained(module, main, tmp_path):
    main(
        variants,
        tmp_path,
        "--data",
        "digits",
        "--train",
        "64",
        "--predicts",
        "eps",
        "--schedule",
        "linear",
        "--unconditional",
    )
    known, null, *_ = module.trained(settings(quick=False, model=tmp_path))
    saved = parts(tmp_path)
    for key, array in known.network.state_dict().items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{key}"])
    assert (known.predicts, null) == ("eps", None)
    assert known.schedule.alpha_bar[-1] == diffusion.linear(1000).alpha_bar[-1]


@each_stage
def test_without_a_trained_model_the_error_names_the_command_that_trains_one(module, tmp_path):
    folder = tmp_path / "my digits"
    with pytest.raises(RunError) as error:
        module.trained(settings(quick=False, model=folder))
    assert str(error.value) == (
        f"there is no trained model in {folder}; to train one:\n"
        f"  python examples/diffusion_mnist.py --out '{folder}'"
    )
    with Run(folder, {"data": "digits"}) as run:
        run.keep(rng=generator())
        run.save()
    with pytest.raises(RunError) as error:
        module.trained(settings(quick=False, model=folder))
    reason = f"expected {folder} to be a run of diffusion_mnist.py, got another program's"
    assert str(error.value) == reason


@each_stage
def test_the_default_model_is_the_run_of_diffusion_mnist(module, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert f'out="{module.MODEL.as_posix()}"' in (FOLDER / "diffusion_mnist.py").read_text("utf-8")
    with pytest.raises(RunError, match=r"diffusion_mnist\.py"):
        module.trained(settings(quick=False, model=None))
    assert module.trained(settings(quick=True, model=None))[1] == 10  # an untrained model


# --- superres_mnist -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 4])
def test_an_enlarged_image_downsampled_is_the_small_one(factor):
    known = model(predicts="x_0", size=0.05)
    x = 0.3 + 0.4 * held_out()  # far from black and white, where values are clipped
    small = editing.downsample(x, factor)
    found = superres.ddnm(known, None, small, settings(factor=factor), generator())
    np.testing.assert_allclose(editing.downsample(found, factor), small, atol=1e-5)
    assert np.abs(found - small.repeat(factor, axis=1).repeat(factor, axis=2)).max() > 1e-3


def test_the_conditional_network_gets_the_downsampled_training_image(monkeypatch, tmp_path):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    seen, denoising_loss = [], diffusion.denoising_loss

    def watched(model, x, small, *, rng, weight):
        seen.append((host(x), host(small)))
        return denoising_loss(model, x, small, rng=rng, weight=weight)

    monkeypatch.setattr(diffusion, "denoising_loss", watched)
    args = settings(seed=0, width=8, batch_size=10, epochs=1, lr=1e-3, factor=4)
    known = held_out(20)
    with Run(tmp_path / "run") as run:
        trained = superres.learn_conditional(run, args, known, editing.downsample(known[:2], 4))
    assert len(seen) == 2
    for x, small in seen:
        np.testing.assert_allclose(x.reshape(-1, 2, 4, 2, 4, 1).mean(axis=(2, 4)), small, atol=1e-6)
    assert sorted(np.concatenate([x for x, _ in seen]).sum(axis=(1, 2, 3))) == pytest.approx(
        sorted((2 * known - 1).sum(axis=(1, 2, 3))), abs=1e-3
    )
    random_weights(trained)
    small = editing.downsample(known[:2], 4)
    found = [superres.conditional(trained, x, args, generator(1)) for x in (small, 1 - small)]
    assert found[0].shape == (2, *SHAPE)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_enlarged_images_are_compared_with_their_originals():
    x = generator().random((4, *SHAPE)).astype(np.float32)
    small = editing.downsample(x, 4)
    labels = np.array([3, 1, 4, 1])
    found = np.tile(x, (3, 1, 1, 1))
    found[4:8] += 0.1

    class Classifier:
        @staticmethod
        def labels(images):
            assert images.min() >= 0 and images.max() <= 1
            return np.array([3, 1, 4, 1, 3, 1, 4, 0, 3, 9, 4, 0])

    scores = superres.measure(found[4:8], x, labels, small, None)
    assert scores["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores["rms_difference"] == pytest.approx(0.1, abs=1e-5)
    assert "accuracy" not in scores
    found[::2] += 0.01
    found[1::2] -= 0.01
    scores = superres.measure(found, x, labels, small, Classifier())
    assert scores["accuracy"] == 9 / 12
    decibels = [-20 * math.log10(e) for e in (0.01, 0.11, 0.09)]
    expected = (2 * decibels[0] + (decibels[1] + decibels[2]) / 2) / 3
    assert scores["psnr"] == pytest.approx(expected, abs=1e-3)


# --- latent_diffusion -----------------------------------------------------------------------------


def test_small_images_are_padded_and_others_resized():
    digits, pictures = generator().random((2, 28, 28, 1)), generator().random((2, 40, 40, 3))
    padded = latents.padded(digits)
    assert padded.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(latents.cropped(padded), digits)
    assert padded.sum() == pytest.approx(digits.sum())
    larger = latents.padded(pictures)
    assert larger.shape == (2, 64, 64, 3) and latents.cropped(larger) is larger


def test_both_stages_of_latents_resume_where_they_stopped(monkeypatch, main, tmp_path):
    options = ["--train", "64", "--test-images", "4", "--epochs", "1", "--latent-epochs", "2"]
    monkeypatch.setattr(latents, "FILMED", 2)
    monkeypatch.setattr(latents, "draw", lambda *_, **__: None)
    main(latents, tmp_path / "a", *options)
    with monkeypatch.context() as patch:
        stopped_at(patch, vae, 1)
        with pytest.raises(SystemExit):
            main(latents, tmp_path / "b", *options)
    assert len(rows(tmp_path / "b")) == 1 + 1
    with monkeypatch.context() as patch:
        patch.setattr(latents, "learn_latents", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(SystemExit):
            main(latents, tmp_path / "b", "--resume")
    main(latents, tmp_path / "b", "--resume")
    for stage in (".", "latents"):
        whole, resumed = parts(tmp_path / "a" / stage), parts(tmp_path / "b" / stage)
        for name, array in whole.items():
            np.testing.assert_array_equal(array, resumed[name])
    results = json.loads((tmp_path / "a" / "results.json").read_text("utf-8"))
    assert 0 < results["error"] < 0.5
    main(latents, tmp_path / "b", "--resume", "--guidance", "3")
    assert not (tmp_path / "b" / "latents-1").exists()
    main(latents, tmp_path / "b", "--resume", "--epochs", "2")
    assert (tmp_path / "b" / "latents-1").exists()
