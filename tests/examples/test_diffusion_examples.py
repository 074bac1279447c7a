"""Parts of the diffusion examples: how they draw, go on, use a trained model, and measure."""

import argparse
import importlib
import json
import math
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygen as tg
from tinygen import data, diffusion, flow, image, vae
from tinygen.diffusion import editing, samplers
from tinygen.run import Run, RunError, checkpoint

FOLDER = Path(__file__).resolve().parents[2] / "examples"
NAMES = ["diffusion_mnist", "flow_mnist", "inpaint_mnist", "superres_mnist", "latent_diffusion"]
sys.path.insert(0, str(FOLDER))  # as when one of them is run
base, flows, inpaint, superres, latents = map(importlib.import_module, NAMES)
sys.path.remove(str(FOLDER))

SHAPE = (8, 8, 1)


def generator(seed=0):
    return np.random.default_rng(seed)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


def random_weights(module, size=0.1):
    """The module, with random weights also where they begin as zeros."""
    for i, p in enumerate(module.parameters()):
        p.data = tg.xp.asarray(generator(i).normal(0, size, p.shape), "f4")
    return module


def model(null=None, predicts="v", size=0.1):
    net = random_weights(base.network(SHAPE, 8, null, generator()), size)
    return diffusion.Diffusion(net, diffusion.cosine(50), predicts, clip=1.0)


def settings(**options):
    usual = {"sampler": "ddim", "solver": "heun", "steps": 4, "guidance": 2.0, "resample": 2}
    return argparse.Namespace(**usual | options)


@pytest.fixture
def main(monkeypatch):
    """`main(module, folder, *options)` is its program, without the pictures, which take long"""
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(image, "compare", lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    monkeypatch.setattr(base, "FILMED", 2)
    monkeypatch.setattr(flow, "straightness", lambda *_, **__: 0.0)
    monkeypatch.setattr(flows, "bits", lambda *_: np.zeros(1))
    for module in (base, flows):
        monkeypatch.setattr(module, "draw", lambda *_, **__: None)
        monkeypatch.setattr(module, "judge", lambda *_, **__: None)

    def run(module, folder, *options):
        small = ["--quick", "--batch-size", "32"] if "--resume" not in options else []
        monkeypatch.setattr(sys, "argv", [module.__name__, "--out", str(folder), *small, *options])
        module.main()

    return run


def rows(folder):
    """The log, but for the seconds"""
    lines = (folder / "log.csv").read_text("utf-8").splitlines()
    return [line.split(",")[:2] + line.split(",")[3:] for line in lines]


def parts(folder):
    return checkpoint.read(folder / "checkpoint.npz")[1]


def stopped_at(monkeypatch, module, step):
    """Ctrl-C in that step of `module.train`"""
    train = module.train

    def interrupted(*arguments, **options):
        for number, terms in enumerate(train(*arguments, **options), 1):
            if number == step:
                signal.raise_signal(signal.SIGINT)
            yield terms

    monkeypatch.setattr(module, "train", interrupted)


# --- diffusion_mnist ------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["ddim", "heun", "multistep"])
def test_images_are_the_same_in_parts_of_any_size(sampler):
    args = settings(sampler=sampler)
    whole, labels = base.drawn(model(3), 7, SHAPE, args, 3, seed=1)
    some, _ = base.drawn(model(3), 7, SHAPE, args, 3, seed=1, size=4)
    np.testing.assert_allclose(some, whole, atol=1e-5)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert 0 <= whole.min() < whole.max() <= 1


def test_what_is_beyond_black_and_white_is_cut_off():
    found = base.as_images(np.array([-3.0, -1.0, 0.0, 1.0, 2.0]))
    assert found.tolist() == [0, 0, 0.5, 1, 1]


def test_a_guidance_of_1_is_the_model_that_is_told_the_class():
    found, labels = base.drawn(model(3), 5, SHAPE, settings(guidance=1.0), 3, seed=1)
    noise = generator(1).standard_normal((5, *SHAPE), np.float32)
    told = samplers.last(samplers.ddim(model(3), noise, labels, steps=4))
    np.testing.assert_allclose(found, (told.clip(-1, 1) + 1) / 2, atol=1e-6)
    more, _ = base.drawn(model(3), 5, SHAPE, settings(guidance=3.0), 3, seed=1)
    assert np.abs(more - found).max() > 1e-3


def test_a_guidance_of_0_is_the_model_that_is_told_any_class():
    found, _ = base.drawn(model(3), 5, SHAPE, settings(guidance=0.0), 3, seed=1)
    noise = generator(1).standard_normal((5, *SHAPE), np.float32)
    told = samplers.last(samplers.ddim(model(3), noise, np.full(5, 3), steps=4))
    np.testing.assert_allclose(found, (told.clip(-1, 1) + 1) / 2, atol=1e-6)


def test_what_is_changed_wins_over_the_settings():
    noise = generator(1).standard_normal((2, *SHAPE), np.float32)
    found, labels = base.drawn(model(), 2, SHAPE, settings(), None, seed=1, sampler="heun", steps=3,
                               finish=lambda x: x)  # fmt: skip
    expected = samplers.last(samplers.heun(model(), noise, steps=3))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert labels is None


def test_steps_that_cannot_be_drawn_are_refused_before_the_training(capsys):
    for steps in ("1", "1001"):
        with pytest.raises(SystemExit):
            base.arguments(["--data", "digits", "--steps", steps])
        assert "argument --steps: expected" in capsys.readouterr().err


def test_a_run_that_is_resumed_is_as_if_never_stopped(monkeypatch, main, tmp_path):
    options = ["--data", "digits", "--train", "64", "--epochs", "3"]
    main(base, tmp_path / "a", *options)
    with monkeypatch.context() as patch:
        stopped_at(patch, diffusion, 3)
        learn = base.learn
        patch.setattr(base, "learn", lambda *a, **k: learn(*a, **k, train=diffusion.train))
        with pytest.raises(SystemExit):
            main(base, tmp_path / "b", *options)
    assert len(rows(tmp_path / "b")) == 1 + 3
    main(base, tmp_path / "b", "--resume")
    whole, resumed = parts(tmp_path / "a"), parts(tmp_path / "b")
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and len(rows(tmp_path / "a")) == 1 + 6
    assert sorted(whole) == sorted(resumed)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])


def test_a_finished_run_may_be_drawn_anew_otherwise(monkeypatch, main, tmp_path):
    main(base, tmp_path, "--data", "digits", "--train", "32")
    seen = []
    monkeypatch.setattr(base, "draw", lambda run, model, shape, args, null: seen.append(args))
    main(base, tmp_path, "--resume", "--sampler", "ddim", "--steps", "7", "--guidance", "4")
    (args,) = seen
    assert (args.sampler, args.steps, args.guidance, args.train) == ("ddim", 7, 4.0, 32)


def test_what_draws_is_the_average_and_the_checkpoint_has_both(monkeypatch, main, tmp_path):
    found = {}
    learn_images = base.learn_images

    def watched(*arguments):
        trained, null = learn_images(*arguments)
        found.update(trained.state_dict())
        return trained, null

    monkeypatch.setattr(base, "learn_images", watched)
    main(base, tmp_path, "--data", "digits", "--train", "64")
    saved = parts(tmp_path)
    for name, array in found.items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{name}"])
    assert any((array != saved[f"model/{name}"]).any() for name, array in found.items())


def test_a_second_stage_goes_on_unless_the_first_has_learnt_more(tmp_path):
    args = settings(resume=False, out=tmp_path)
    with Run(tmp_path, vars(args)) as run:
        run.step = 5
        for resume, step, expected in [(False, 5, False), (True, 5, True), (True, 6, False)]:
            args.resume, run.step = resume, step
            with base.second_run(run, args, "second") as second:
                assert second.resume is expected
                assert second.folder == tmp_path / "second"
    assert (tmp_path / "second-1").exists() and not (tmp_path / "second-2").exists()


def test_a_second_stage_that_has_not_begun_begins_when_resumed(tmp_path):
    args = settings(resume=True, out=tmp_path)
    with Run(tmp_path, vars(args)) as run, base.second_run(run, args, "second") as second:
        assert not second.resume


# --- flow_mnist -----------------------------------------------------------------------------------


def field(null=None, size=0.1):
    return flow.UnitTime(random_weights(base.network(SHAPE, 8, null, generator()), size))


def test_grey_values_become_intervals_side_by_side():
    grey = np.arange(256).repeat(200)
    x = flows.continuous((grey / 255).astype(np.float32), rng=generator())
    assert x.dtype == np.float32
    assert -1 <= x.min() < x.max() <= 1
    assert (np.floor((x.astype(np.float64) + 1) * 128) == grey).mean() > 0.999  # but for rounding
    np.testing.assert_allclose(((x + 1) * 128 - grey).mean(), 0.5, atol=0.01)
    np.testing.assert_allclose(((x + 1) * 128 - grey).std(), 1 / math.sqrt(12), atol=0.01)


def first_velocity(noise, labels):
    x, t, told = (tg.xp.asarray(each) for each in (noise, np.zeros(len(noise), "f4"), labels))
    return host(field(3)(tg.Tensor(x), tg.Tensor(t), tg.Tensor(told)))


def test_one_step_of_eulers_goes_with_the_velocity_at_the_noise():
    noise, labels = flows.start(4, SHAPE, 3, seed=1)
    found = flows.moved(field(3), noise, labels, 3, "euler", 1, 1.0)
    np.testing.assert_allclose(found, noise + first_velocity(noise, labels), atol=1e-6)
    assert labels.tolist() == [0, 1, 2, 0]


def test_flows_are_guided():
    noise, labels = flows.start(4, SHAPE, 3, seed=1)
    told, any_digit = (first_velocity(noise, each) for each in (labels, np.full(4, 3)))
    for w in (0.0, 3.0):
        found = flows.moved(field(3), noise, labels, 3, "euler", 1, w)
        np.testing.assert_allclose(found, noise + any_digit + w * (told - any_digit), atol=1e-5)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_all_solvers_come_to_where_the_adaptive_one_does(solver):
    noise, labels = flows.start(3, SHAPE, 3, seed=1)
    net = field(3)
    exact = flows.moved(net, noise, labels, 3, "adaptive", 1, 2.0)
    steps = 100 if solver == "euler" else 10
    found = flows.moved(net, noise, labels, 3, solver, steps, 2.0)
    assert np.abs(exact - noise).max() > 0.1
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact - noise).max())


def test_bits_are_of_the_probability_of_256_grey_values():
    net = field(size=0.0)  # which leaves noise where it is
    images = generator().integers(256, size=(5, *SHAPE)).astype(np.float32) / 255
    found = flows.bits(net, None, images, settings(measured=3))
    rng = generator(9)
    x = flows.continuous(images[rng.permutation(5)[:3]], rng=rng).astype(np.float64)
    log_p = -0.5 * (x**2 + math.log(2 * math.pi)).sum(axis=(1, 2, 3)) - 64 * math.log(128)
    np.testing.assert_allclose(found, -log_p / (64 * math.log(2)), rtol=1e-4)


def test_both_stages_of_flows_go_on_where_they_were(monkeypatch, main, tmp_path):
    monkeypatch.setattr(flows, "PAIR_STEPS", 1)
    options = ["--data", "digits", "--train", "64", "--epochs", "1", "--pairs", "32",
               "--reflow-epochs", "2"]  # fmt: skip
    main(flows, tmp_path / "a", *options, "--reflow")
    main(flows, tmp_path / "b", *options)
    with monkeypatch.context() as patch:
        patch.setattr(flows, "learn_straight", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
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


def test_the_second_network_begins_as_the_first_and_learns_where_it_led(monkeypatch, tmp_path):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    args = settings(pairs=6, width=8, seed=0, batch_size=6, reflow_epochs=1)
    net, seen = field(3), []
    noise, labels = flows.start(6, SHAPE, 3, seed=7)
    ends = flows.moved(net, noise, labels, 3, "heun", flows.PAIR_STEPS, base.GUIDANCE)

    def train(second, batches, optimizer, *, rng, ema, loss):
        for name, array in second.state_dict().items():
            np.testing.assert_array_equal(array, net.state_dict()[name])
        seen.extend(batches)
        assert loss is flow.reflow_loss
        return iter(())

    monkeypatch.setattr(flow, "train", train)
    with Run(tmp_path / "run") as run:
        flows.learn_straight(run, args, net, SHAPE, 3)
    ((pairs, told),) = seen
    order = [np.abs(noise - x).sum(axis=(1, 2, 3)).argmin() for x in host(pairs)[:, 0]]
    np.testing.assert_allclose(host(pairs), np.stack([noise, ends], axis=1)[order], atol=1e-5)
    assert host(told).tolist() == labels[order].tolist()


# --- inpaint_mnist --------------------------------------------------------------------------------


def learnt(null=None, predicts="v", size=0.1):
    images = generator(2).random((20, *SHAPE)).astype(np.float32)
    some = data.Labelled(images, np.arange(20) % 3)
    return inpaint.Learnt(model(null, predicts, size), null, "digits", some, some)


def test_what_is_known_is_a_half_all_but_a_square_or_one_pixel_in_four():
    masks = inpaint.masks((28, 28, 1), generator())
    for mask in masks.values():
        assert mask.shape == (28, 28, 1) and set(np.unique(mask)) == {0, 1}
    assert masks["half"][:14].all() and not masks["half"][14:].any()
    hidden = np.argwhere(masks["square"][..., 0] == 0)
    assert hidden.min(axis=0).tolist() == [7, 7] and hidden.max(axis=0).tolist() == [20, 20]
    assert (masks["square"] == 0).sum() == 14 * 14
    assert masks["pixels"].mean() == pytest.approx(0.25, abs=0.05)


def test_a_completion_keeps_what_is_known_and_the_rest_differs_from_one_to_the_next():
    known, x = learnt(), learnt().test.images[:3]
    mask = inpaint.masks(SHAPE, generator())["half"]
    found = [inpaint.completed(known, x, mask, settings(), generator(seed)) for seed in (1, 2)]
    for each in found:
        np.testing.assert_allclose(mask * each, mask * x, atol=1e-6)
        assert 0 <= each.min() < each.max() <= 1
    assert (np.abs(found[0] - found[1]).reshape(3, -1).max(axis=1) > 0.1).all()


def test_an_animation_has_every_step_and_ends_with_the_completion():
    x, mask = learnt().test.images[:3], inpaint.masks(SHAPE, generator())["half"]
    film = image.Animation(100)
    found = inpaint.completed(learnt(), x, mask, settings(), generator(), film)
    assert film.seen == 8
    np.testing.assert_allclose(film._latest[0][..., :1] / 255, found, atol=1 / 255)


def test_the_model_is_told_that_any_digit_will_do(monkeypatch):
    seen = []
    denoise = diffusion.Diffusion.denoise

    def watched(self, x, t, classes=None):
        seen.append(classes)
        return denoise(self, x, t, classes)

    monkeypatch.setattr(diffusion.Diffusion, "denoise", watched)
    known, small = learnt(null=3), np.full((2, 4, 4, 1), 0.5, np.float32)
    mask = inpaint.masks(SHAPE, generator())["half"]
    inpaint.completed(known, known.test.images[:2], mask, settings(), generator())
    superres.consistent(known, small, settings(factor=2), generator())
    assert len(seen) == 16
    for classes in seen:
        assert classes.tolist() == [3, 3]
    assert learnt().any_digit(2) is None


def test_held_out_images_come_with_what_they_are():
    known = learnt()
    x, labels = known.held_out(7)
    assert len(x) == len(labels) == 7
    for image_, label in zip(x, labels, strict=True):
        (place,) = np.flatnonzero((known.test.images == image_).all(axis=(1, 2, 3)))
        assert known.test.labels[place] == label
    assert not (x == known.test.images[:7]).all()  # the first ones of a set may be easier


def test_a_trained_model_is_the_average_of_its_weights(main, tmp_path):
    options = ["--data", "digits", "--train", "64", "--predicts", "eps", "--schedule", "linear"]
    main(base, tmp_path, *options)
    known = inpaint.trained(settings(quick=False, model=tmp_path))
    saved = parts(tmp_path)
    for name, array in known.model.state_dict().items():
        np.testing.assert_array_equal(array, saved[f"ema/average.{name}"])
    assert (known.model.predicts, known.null, known.data) == ("eps", 10, "digits")
    assert known.model.schedule.alpha_bar[-1] == diffusion.linear(1000).alpha_bar[-1]
    expected, _ = data.load("digits", train=64, test=0)
    np.testing.assert_array_equal(known.train.images, expected.images)


def test_without_a_trained_model_the_command_that_makes_one_is_named(tmp_path):
    folder = tmp_path / "my digits"
    with pytest.raises(RunError) as error:
        inpaint.trained(settings(quick=False, model=folder))
    assert str(error.value) == (
        f"there is no trained model in {folder}; this makes one:\n"
        f"  python examples/diffusion_mnist.py --out '{folder}'"
    )
    with Run(folder, {"data": "digits"}) as run:
        run.keep(rng=generator())
        run.save()
    with pytest.raises(RunError) as error:
        inpaint.trained(settings(quick=False, model=folder))
    assert str(error.value) == (
        f"expected {folder} to be a run of diffusion_mnist.py, got another program's"
    )


def test_the_default_is_the_folder_that_diffusion_mnist_writes_to(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert base.arguments(["--data", "digits"]).out == inpaint.MODEL
    with pytest.raises(RunError, match="diffusion_mnist"):
        inpaint.trained(settings(quick=False, model=None))
    assert inpaint.trained(settings(quick=True, model=None)) is None


# --- superres_mnist -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 4])
def test_an_enlarged_image_is_the_small_one_when_made_small(factor):
    known = learnt(predicts="x_0", size=0.05)
    x = 0.3 + 0.4 * known.test.images[:3]  # far from black and white, where values are cut off
    small = editing.downsample(x, factor)
    found = superres.consistent(known, small, settings(factor=factor), generator())
    np.testing.assert_allclose(editing.downsample(found, factor), small, atol=1e-5)
    assert np.abs(found - small.repeat(factor, axis=1).repeat(factor, axis=2)).max() > 1e-3


def test_the_conditional_network_sees_the_small_image_of_the_one_it_learns(monkeypatch, tmp_path):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    seen, denoising_loss = [], diffusion.denoising_loss

    def watched(model, x, small, *, rng, weight):
        seen.append((host(x), host(small)))
        return denoising_loss(model, x, small, rng=rng, weight=weight)

    monkeypatch.setattr(diffusion, "denoising_loss", watched)
    args = settings(seed=0, width=8, batch_size=10, epochs=1, lr=1e-3, factor=4)
    known = learnt()
    with Run(tmp_path / "run") as run:
        trained = superres.learn_pairs(run, args, known)
    assert len(seen) == 2
    for x, small in seen:
        np.testing.assert_allclose(x.reshape(-1, 2, 4, 2, 4, 1).mean(axis=(2, 4)), small, atol=1e-6)
    assert sorted(np.concatenate([x for x, _ in seen]).sum(axis=(1, 2, 3))) == pytest.approx(
        sorted((2 * known.train.images - 1).sum(axis=(1, 2, 3))), abs=1e-3)  # fmt: skip
    random_weights(trained)
    small = editing.downsample(known.test.images[:2], 4)
    found = [superres.told(trained, x, args, generator(1)) for x in (small, 1 - small)]
    assert found[0].shape == (2, *SHAPE)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_enlarged_images_are_measured_beside_the_image_that_each_is_of():
    x = generator().random((4, *SHAPE)).astype(np.float32)
    small = editing.downsample(x, 4)
    labels = np.array([3, 1, 4, 1])
    found = np.tile(x, (3, 1, 1, 1))
    found[4:8] += 0.1

    class Reader:
        @staticmethod
        def labels(images):
            assert images.min() >= 0 and images.max() <= 1
            return np.array([3, 1, 4, 1, 3, 1, 4, 0, 3, 9, 4, 0])

    scores = superres.measured(found[4:8], x, labels, small, None)
    assert scores["ratio"] == pytest.approx(20, abs=1e-3)
    assert scores["off"] == pytest.approx(0.1, abs=1e-5)
    assert "right" not in scores
    found[::2] += 0.01
    found[1::2] -= 0.01
    scores = superres.measured(found, x, labels, small, Reader())
    assert scores["right"] == 9 / 12
    decibels = [-20 * math.log10(e) for e in (0.01, 0.11, 0.09)]
    expected = (2 * decibels[0] + (decibels[1] + decibels[2]) / 2) / 3
    assert scores["ratio"] == pytest.approx(expected, abs=1e-3)


# --- latent_diffusion -----------------------------------------------------------------------------


def autoencoder():
    encoder, decoder = latents.networks(64, 3, generator())
    return vae.VAE(encoder, decoder, 256, likelihood=vae.Gaussian(0.1)).eval()


def shapes(n, seed=0):
    return generator(seed).random((n, 64, 64, 3)).astype(np.float32)


def test_means_are_half_of_the_channels_and_variances_the_other():
    both, autoencoder_ = latents.networks(64, 3, generator())[0], autoencoder()
    x = tg.Tensor(tg.xp.asarray(shapes(2)))
    h = host(tg.nn.Sequential(*both.layers[:-1]).eval()(x))
    assert h.shape == (2, 8, 8, 8)
    mu, log_var = (host(half) for half in autoencoder_.encode(x))
    np.testing.assert_allclose(mu.reshape(2, 8, 8, 4), h[..., :4], atol=1e-5)
    np.testing.assert_allclose(log_var.reshape(2, 8, 8, 4), h[..., 4:], atol=1e-5)


def test_small_images_are_framed_and_others_made_larger():
    digits, pictures = generator().random((2, 28, 28, 1)), generator().random((2, 40, 40, 3))
    framed = latents.framed(digits)
    assert framed.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(latents.unframed(framed), digits)
    assert framed.sum() == pytest.approx(digits.sum())
    larger = latents.framed(pictures)
    assert larger.shape == (2, 64, 64, 3) and latents.unframed(larger) is larger


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
def test_latents_have_8_by_8_places_whatever_the_size(size, channels):
    encoder, decoder = latents.networks(size, channels, generator())
    x = tg.Tensor(tg.xp.zeros((2, size, size, channels), "f4"))
    assert encoder(x).shape == (2, 2 * 8 * 8 * 4)
    assert decoder(tg.Tensor(tg.xp.zeros((2, 8 * 8 * 4), "f4"))).shape == x.shape


def test_latents_are_scaled_to_mean_0_and_variance_1_in_each_channel():
    scaled = latents.Scaled(autoencoder(), shapes(40))
    z = scaled.drawn(np.tile(scaled.posteriors, (5, 1)), rng=generator(1))
    assert z.dtype == np.float32 and z.shape == (200, 8, 8, 4)
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0, atol=0.05)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1, atol=0.03)


def test_latents_are_drawn_with_the_variance_that_the_encoder_says():
    scaled = latents.Scaled(autoencoder(), shapes(3))
    posterior = np.zeros((200, 512), np.float32)
    posterior[:, :256], posterior[:, 256:] = 5, math.log(4)
    z = scaled.drawn(posterior, rng=generator()) * scaled.std + scaled.mean
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 5, atol=0.1)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 2, atol=0.1)


def test_scaled_latents_are_decoded_as_the_autoencoder_does():
    autoencoder_, x = autoencoder(), shapes(3)
    scaled = latents.Scaled(autoencoder_, x)
    certain = scaled.posteriors.copy()
    certain[:, 256:] = -100  # log σ²
    found = scaled.images(scaled.drawn(certain, rng=generator()))
    np.testing.assert_allclose(found, autoencoder_.reconstruct(x), atol=1e-4)


def test_both_stages_of_latents_go_on_where_they_were(monkeypatch, main, tmp_path):
    options = ["--train", "64", "--test-images", "4", "--epochs", "1", "--latent-epochs", "2"]
    monkeypatch.setattr(latents, "FILMED", 2)
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
