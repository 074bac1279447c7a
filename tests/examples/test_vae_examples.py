"""The VAE examples: the loss on one page, every option, a prior of codes, a published table."""

import itertools
import json
import math
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from programs import example, outcome, run_front

import tinygen as tg
from tinygen import data, image, models, nn, vae
from tinygen.run import logbook

NAMES = ["vae_mnist", "vae_variants", "iwae_table", "vae_shapes", "vqvae_mnist"]
vae_mnist, vae_variants, iwae_table, vae_shapes, vqvae_mnist = map(example, NAMES)


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x):
    return tg.Tensor(tg.xp.asarray(x))


def host(x):
    return tg.to_numpy(x.data)


# --- vae_mnist: the loss and the loop on one page -------------------------------------------------

FEW = "--data digits --train 60 --test-images 30 --batch-size 20 --epochs 2 --samples 3"


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures take long."""
    for name in ("grid", "strip", "compare", "curves_of", "plane"):
        monkeypatch.setattr(image, name, lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)


def test_the_written_out_loss_and_its_gradients_equal_the_librarys():
    encoder = models.mlp([12, 7, 6], rng=generator(1))
    decoder = models.mlp([3, 7, 12], rng=generator(2))
    params = [*encoder.parameters(), *decoder.parameters()]
    x = tensor(generator(3).random((5, 12), np.float32))
    eps = generator(4).standard_normal((5, 3), np.float32)
    written = vae_mnist.negative_elbo(encoder, decoder, x, tg.xp.asarray(eps))
    bound = vae.elbo(vae.VAE(encoder, decoder, 3), x, rng=generator(4))
    for ours, theirs in zip(written, bound[1:], strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    for a, b in zip(tg.grad(sum(written), params), tg.grad(bound.loss, params), strict=True):
        np.testing.assert_allclose(host(a), host(b), rtol=1e-5, atol=1e-6)


def test_the_written_out_loop_trains_as_the_librarys(no_pictures, tmp_path):
    ours = outcome(run_front(vae_mnist, FEW, tmp_path / "ours"))
    theirs = outcome(run_front(vae_variants, FEW, tmp_path / "theirs"))
    assert len(ours["loss"]) == 6
    for name in ("loss", "reconstruction", "kl", "images"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_a_resumed_front_run_ends_as_an_uninterrupted_one(no_pictures, tmp_path):
    whole = outcome(run_front(vae_mnist, FEW, tmp_path / "whole"))
    with pytest.raises(SystemExit):
        run_front(vae_mnist, FEW, tmp_path / "run", stop_at=4)
    resumed = outcome(run_front(vae_mnist, "--resume", tmp_path / "run"))
    assert resumed.keys() == whole.keys() and len(whole["loss"]) == 6
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name], name)


def test_the_front_program_accepts_colour_images_and_puts_a_few_in_one_batch(no_pictures, tmp_path):
    images = generator().random((50, 28, 28, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images)
    options = f"--data {tmp_path / 'own.npz'} --batch-size 500 --epochs 1 --samples 4"
    found = outcome(run_front(vae_mnist, options, tmp_path / "run"))
    assert len(found["loss"]) == 1
    assert found["images"].shape == (4, 28, 28, 3)


def test_the_front_program_with_0_epochs_is_a_run_without_a_step(tmp_path):
    folder = run_front(vae_mnist, f"{FEW} --epochs 0", tmp_path / "run")
    assert (folder / "samples.png").exists() and not (folder / "curves.png").exists()


# --- vae_variants ---------------------------------------------------------------------------------


@pytest.fixture
def variants(monkeypatch, tmp_path):
    """`variants(options)` runs vae_variants.py on a few synthetic digits, in a temporary folder."""
    train = vae.train

    def run(options, out="run", stop_before=None):
        def stopped(*args, **options):
            for step, terms in enumerate(train(*args, **options), 1):
                if step == stop_before:
                    signal.raise_signal(signal.SIGINT)
                yield terms

        monkeypatch.setattr(vae, "train", stopped)
        few = "--data digits --train 60 --test-images 30 --epochs 1"
        return run_front(vae_variants, f"{few} {options}", tmp_path / out)

    return run


def log_and_results(folder):
    columns, rows = logbook.read(folder / "log.csv")
    results = json.loads((folder / "results.json").read_text("utf-8"))
    del results["seconds"]
    return [[row[name] for name in columns if name != "seconds"] for row in rows], results


def test_a_resumed_run_of_variants_logs_the_same_as_an_uninterrupted_one(variants):
    options = "--train 600 --epochs 2 --batch-size 100 --latent 3"
    whole = log_and_results(variants(options, "whole"))
    assert len(whole[0]) == 12 and whole[1].keys() >= {"test_loss", "nll"}
    with pytest.raises(SystemExit):
        variants(options, stop_before=8)
    assert log_and_results(variants(f"{options} --resume")) == whole


def test_variants_reject_invalid_options_before_they_move_an_older_run(variants, tmp_path):
    variants("--epochs 0")
    before = sorted(tmp_path.rglob("*"))
    for options in (
        "--k 0",
        "--latent 0",
        "--beta -1",
        "--free-bits nan",
        "--train -5",
        "--test-images 0",
        "--beta much",
        "--k 2 --beta 2",
    ):
        with pytest.raises(SystemExit):
            variants(options)
    with pytest.raises(ValueError, match="load: expected one of"):
        variants("--data nothing-of-this-name")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("options", ["--epochs 0", "--test-images 1", "--test-images 3 --latent 1"])
def test_variants_work_with_few_epochs_images_and_units(variants, options):
    folder = variants(options)
    assert (folder / "samples.png").exists() and (folder / "results.json").exists()
    assert (folder / "curves.png").exists() == (options != "--epochs 0")
    assert (folder / "interpolations.png").exists() == (options != "--test-images 1")


@pytest.mark.parametrize(
    "options",
    [
        "--net conv",
        "--k 3",
        "--beta 4 --free-bits 0.5",
        "--likelihood gaussian",
        "--likelihood learned --conditional",
    ],
)
def test_every_variant_learns(variants, no_pictures, options):
    folder = variants(f"{options} --train 40 --batch-size 8 --epochs 4")
    loss = np.genfromtxt(folder / "log.csv", delimiter=",", names=True)["loss"]
    assert len(loss) == 20
    assert loss[-5:].mean() < loss[:5].mean()


def test_variants_work_with_a_dozen_classes_of_pictures(variants, tmp_path):
    images = generator().random((50, 28, 28, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(50) % 12)
    options = f"--data {tmp_path / 'own.npz'} --conditional --latent 2 --batch-size 500"
    folder = variants(options)
    assert json.loads((folder / "config.json").read_text("utf-8"))["settings"]["batch_size"] == 45
    assert not (folder / "latent.png").exists()


def test_interpolations_are_between_images_of_the_same_class():
    labels = np.array([0, 1, 0, 2, 1, 0, 0])
    a, b = vae_variants.pairs(labels)
    assert list(zip(a, b, strict=True)) == [(0, 5), (1, 4), (2, 6)]
    assert [len(x) for x in vae_variants.pairs(np.array([3, 4]))] == [0, 0]
    a, b = vae_variants.pairs(np.zeros(40, int))
    assert (a.tolist(), b.tolist()) == ([*range(6)], [*range(6, 12)])


def test_a_conditional_convolutional_encoder_gets_the_label_after_a_relu():
    encoder, _ = vae_variants.networks("conv", (28, 28, 1), 3, 10, generator())
    x = tensor(generator().random((2, 28, 28, 1), np.float32))
    h = host(encoder.features(x))
    assert (h == 0).any() and (h >= 0).all() and h.shape[1] + 10 == encoder.head.weight.shape[0]


# --- vqvae_mnist: the prior -----------------------------------------------------------------------


def prior(codes=5, side=(4, 5)):
    """A prior with random weights, also where the initial ones are zeros."""
    model = vqvae_mnist.Prior(codes, side, generator())
    for p in model.parameters():
        p.data = tg.xp.asarray(generator(p.size).normal(0, 0.07, p.shape), "f4")
    return model


def test_the_prior_sees_every_code_before_a_place_and_no_later_code():
    side = (7, 7)
    model = prior(side=side)
    codes = generator(1).integers(5, size=(1, *side))
    logits = host(model(tensor(codes)))
    for changed in [(0, 0), (0, 6), (2, 6), (3, 0), (3, 3), (5, 5), (6, 6)]:
        other = codes.copy()
        other[0][changed] = (other[0][changed] + 1) % 5
        moved = np.abs(host(model(tensor(other))) - logits).max(axis=-1)[0] > 1e-6
        for place in np.ndindex(*side):
            assert moved[place] == (changed < place)


@pytest.mark.parametrize("own", [True, False])
def test_a_causal_convolution_sees_its_own_place_only_with_own(own):
    layer = vqvae_mnist.Causal(1, 1, (3, 5), own=own, rng=generator())
    layer.weight.data = tg.xp.ones((3, 5, 1, 1), "f4")
    x = np.zeros((1, 5, 7, 1), np.float32)
    x[0, 2, 3] = 1
    seen = host(layer(tensor(x)))[0, :, :, 0]
    expected = np.zeros((5, 7))
    expected[2, 4:6] = expected[3, 1:6] = 1
    expected[2, 3] = own
    np.testing.assert_allclose(seen, expected)


def test_rows_that_are_not_sampled_yet_may_be_left_out():
    model, codes = prior(side=(7, 7)), generator(1).integers(5, size=(2, 7, 7))
    whole = host(model(tensor(codes)))
    np.testing.assert_allclose(host(model(tensor(codes[:, :3]))), whole[:, :3], atol=1e-4)


def test_the_prior_is_a_distribution():
    model = prior(codes=3, side=(2, 2))
    every = np.array(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)
    p = np.exp(-host(model.nll(tensor(every))))
    assert p.shape == (81,)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert p.max() > 2 * p.min()


def test_sampled_codes_are_distributed_as_the_prior():
    model = prior(codes=2, side=(2, 2))
    every = np.array(list(itertools.product(range(2), repeat=4))).reshape(-1, 2, 2)
    p = np.exp(-host(model.nll(tensor(every))))
    n = 8000
    samples = vqvae_mnist.sample(model, n, (2, 2), generator(2))
    found = np.bincount(samples.reshape(n, 4) @ [8, 4, 2, 1], minlength=16) / n
    np.testing.assert_allclose(found, p, atol=5 * math.sqrt(p.max() / n))


def test_surroundings_are_the_mean_pixels_around_a_codes_places():
    images = generator().random((3, 8, 8, 1)).astype(np.float32)
    codes = np.zeros((3, 2, 2), int)
    codes[0, 0, 1] = codes[2, 1, 0] = 1
    found = vqvae_mnist.surroundings(images, codes, [1, 2])
    assert found.shape == (2, 12, 12, 1)
    np.testing.assert_allclose(found[0, 4:8, 4:8], (images[0, :4, 4:] + images[2, 4:, :4]) / 2)
    np.testing.assert_allclose(found[0, 4:8, :4], (images[0, :4, :4]) / 2)  # padded with black
    assert not found[1].any()  # a code without a place


def run_vqvae(monkeypatch, folder, *options):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)  # pictures take long
    monkeypatch.setattr(vqvae_mnist, "draw", lambda *_: None)
    arguments = [
        "--data",
        "digits",
        "--train",
        "96",
        "--test-images",
        "20",
        "--batch-size",
        "32",
        "--codes",
        "8",
        "--out",
        str(folder),
        *options,
    ]
    monkeypatch.setattr(sys, "argv", ["vqvae_mnist.py", *arguments])
    vqvae_mnist.main()
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_both_stages_resume_where_they_stopped(monkeypatch, tmp_path):
    whole = run_vqvae(monkeypatch, tmp_path / "a", "--epochs", "2", "--prior-epochs", "2")
    learn_prior = vqvae_mnist.learn_prior

    def stopped(run, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vqvae_mnist, "learn_prior", stopped)
    with pytest.raises(SystemExit):
        run_vqvae(monkeypatch, tmp_path / "b", "--epochs", "2", "--prior-epochs", "2")
    monkeypatch.setattr(vqvae_mnist, "learn_prior", learn_prior)
    resumed = run_vqvae(monkeypatch, tmp_path / "b", "--resume")
    again = run_vqvae(monkeypatch, tmp_path / "b", "--resume")
    for name in ("reconstruction", "prior", "perplexity"):
        assert resumed[name] == again[name] == whole[name]
    assert not (tmp_path / "b" / "prior-1").exists()


def test_when_the_codes_change_the_prior_is_trained_from_the_start(monkeypatch, tmp_path):
    first = run_vqvae(monkeypatch, tmp_path / "a", "--epochs", "1", "--prior-epochs", "1")
    more = run_vqvae(monkeypatch, tmp_path / "a", "--epochs", "2", "--resume")
    assert (tmp_path / "a" / "prior-1").exists()
    assert more["reconstruction"] < first["reconstruction"]


def test_all_codes_are_initialised_with_encoder_vectors(monkeypatch, tmp_path):
    started = {}

    def no_training(model, *_, **__):
        started["e"] = host(model.quantiser.e)
        started["z"] = host(model.encoder(tensor(images))).reshape(-1, vqvae_mnist.FEATURES)
        return iter(())

    images = data.digits(40, rng=generator()).images
    monkeypatch.setattr(vae, "train", no_training)
    args = type(
        "Args",
        (),
        {"seed": 0, "codebook": "mean", "codes": 8, "batch_size": 8, "epochs": 1, "lr": 1e-3},
    )
    with vqvae_mnist.Run(tmp_path / "run") as run:
        _, changed = vqvae_mnist.learn_codes(run, args, images)
    assert not changed
    for code in started["e"]:
        assert np.abs(started["z"] - code).max(axis=1).min() < 1e-5


# --- iwae_table: the published schedule -----------------------------------------------------------


def table_model(k=None):
    images = data.digits(50, rng=generator()).images
    return images, vae.VAE(*iwae_table.networks(images, generator()), iwae_table.LATENT)


def test_the_networks_have_as_many_parameters_as_the_papers():
    _, model = table_model()
    assert sum(p.size for p in model.parameters()) == 425_284


def test_the_initial_decoder_gives_the_mean_image():
    images, model = table_model()
    decoded = model.generate(np.zeros((1, iwae_table.LATENT), np.float32))
    np.testing.assert_allclose(decoded[0], images.mean(axis=0).clip(0.001, 0.999), atol=1e-5)


def test_all_hidden_layers_have_tanh():
    images, model = table_model()
    h = host(model.encoder.hidden(tensor(images[:5])))
    layers = [layer for layer in model.encoder.hidden if isinstance(layer, nn.Dense)]
    x = images[:5].reshape(5, -1)
    for layer in layers:
        x = np.tanh(x @ host(layer.weight) + host(layer.bias))
    assert len(layers) == 2
    np.testing.assert_allclose(h, x, atol=1e-5)


def test_the_encoders_second_output_is_twice_the_logarithm_of_sigma():
    images, model = table_model()
    mu, log_var = model.encode(tensor(images[:5]))
    h = model.encoder.hidden(tensor(images[:5]))
    np.testing.assert_allclose(host(mu), host(model.encoder.mu(h)), atol=1e-6)
    np.testing.assert_allclose(host(log_var), 2 * host(model.encoder.log_sigma(h)), atol=1e-6)
    for layer in (model.encoder.mu, model.encoder.log_sigma):
        assert np.abs(host(layer.weight)).max() <= math.sqrt(6 / 250)
        assert np.abs(host(layer.weight)).max() > 0.99 * math.sqrt(6 / 250)


def test_the_mean_of_k_elbos_is_below_the_importance_weighted_bound():
    images, model = table_model()
    x = tensor(images[:5])
    log_w, given_z, kl = (host(t) for t in vae.log_weights(model, x, k=7, rng=generator(1)))
    terms = iwae_table.mean_elbo(model, x, k=7, rng=generator(1))
    assert float(terms.loss) == pytest.approx(-log_w.mean(), rel=1e-5)
    assert float(terms.reconstruction) == pytest.approx(-given_z.mean(), rel=1e-5)
    assert float(terms.kl) == pytest.approx(kl.sum(axis=1).mean(), rel=1e-5)
    assert float(terms.loss) > float(vae.iwae(model, x, k=7, rng=generator(1)).loss) + 1
    one = iwae_table.mean_elbo(model, x, k=1, rng=generator(1))
    assert float(one.loss) == pytest.approx(
        float(vae.iwae(model, x, k=1, rng=generator(1)).loss), rel=1e-5
    )


def test_the_stages_are_the_papers():
    assert [iwae_table.ends(s) for s in range(9)] == [0, 1, 4, 13, 40, 121, 364, 1093, 3280]
    rate, per_epoch = iwae_table.rate(10), 10
    expected = [10, 7.2, 5.2, 3.7, 2.7, 1.9, 1.4, 1]
    for stage, factor in enumerate(expected):
        first, last = iwae_table.ends(stage) * per_epoch, iwae_table.ends(stage + 1) * per_epoch
        assert rate(first) == rate(last - 1) == pytest.approx(factor * 1e-4)


def test_an_adam_step_on_batch_means_equals_one_on_batch_sums():
    images, model = table_model()
    optimizer = iwae_table.adam(model, lambda step: 1e-3)
    p = np.concatenate([host(p).ravel() for p in optimizer.params]).astype(float)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, 4):
        bound = iwae_table.mean_elbo(model, tensor(images[:20]), k=1, rng=generator(t))
        grads = tg.grad(bound.loss, optimizer.params)
        g = 20 * np.concatenate([host(g).ravel() for g in grads])  # of the sum over the batch
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p -= 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-4)
        optimizer.step(grads)
    found = np.concatenate([host(p).ravel() for p in optimizer.params])
    np.testing.assert_allclose(found, p, atol=1e-6)


def test_every_layers_initial_weights_come_from_one_seed():
    """The authors' `RandomState(123)`, whose first number in [0, 1) is well known"""
    _, model = table_model()
    weights = [host(p) for name, p in model.named_parameters() if name.endswith("weight")]
    units = [(w / math.sqrt(6 / sum(w.shape))).ravel() for w in weights]  # all from U(−1, 1)
    assert len(units) == 7
    for each in units:
        assert each[0] == pytest.approx(2 * 0.6964691855978616 - 1, rel=1e-5)
        np.testing.assert_allclose(each[:10_000], units[0][:10_000], rtol=1e-5)
        assert np.abs(each).max() <= 1 and np.var(each) == pytest.approx(1 / 3, rel=0.02)


def test_a_row_of_the_log_is_the_mean_over_batches_of_twenty():
    images, model = table_model()
    sizes = []

    def bound(model, x, labels=None, *, rng):
        sizes.append(len(x))
        terms = iwae_table.mean_elbo(model, x, k=1, rng=rng)
        return terms._replace(kl=tg.as_tensor(tg.xp.asarray(float(len(x)))))

    optimizer = iwae_table.adam(model, iwae_table.rate(3))
    chunks = data.Batches(images, 50, rng=generator(), epochs=2)
    rows = list(iwae_table.train(model, chunks, optimizer, rng=generator(), bound=bound))
    assert sizes == [20, 20, 10] * 2
    assert [row["kl"] for row in rows] == pytest.approx([50 / 3] * 2)
    assert optimizer.steps == 6


def test_the_table_shows_reference_values_only_for_the_same_settings():
    args = SimpleNamespace(
        objective="iwae", k=5, data="mnist", train=59_600, test_images=2000, draws=500
    )
    rows = iwae_table.table(args, {"nll_1": 114.5, "nll_4": 100.8, "seconds": 3}).splitlines()
    assert [row.split() for row in rows[1:]] == [
        ["1", "114.50", "114.65"],
        ["4", "100.80", "102.62"],
        ["13", "–", "95.33"],
        ["40", "–", "91.55"],
        ["3,280", "–", "85.54"],
    ]
    for change in ({"k": 7, "draws": 500}, {"data": "digits"}, {"train": 100}, {"draws": 5}):
        other = SimpleNamespace(**vars(args) | change)
        rows = iwae_table.table(other, {"nll_1": 114.5}).splitlines()[1:]
        rows = [row for row in rows if row.split()[0] == "1"]
        assert [row.split() for row in rows] == [["1", "114.50", "–"]]


def test_the_table_resumes_where_it_stopped(tmp_path, monkeypatch, capsys):
    def nll(name, stages, *more):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "iwae_table.py",
                "--data",
                "digits",
                "--train",
                "60",
                "--test-images",
                "5",
                "--draws",
                "7",
                "--k",
                "2",
                "--stages",
                stages,
                "--out",
                str(tmp_path / name),
                *more,
            ],
        )
        iwae_table.main()
        results = json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8"))
        return {key: value for key, value in results.items() if key.startswith("nll")}

    assert set(nll("stopped", "1")) == {"nll_1"}
    assert nll("stopped", "2", "--resume") == nll("whole", "2")
    capsys.readouterr()


# --- vae_shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_reconstruction_has_the_size_of_its_image(channels):
    encoder, decoder = vae_shapes.networks(channels, 4, generator())
    model = vae.VAE(encoder, decoder, 4, likelihood=vae.Gaussian(0.1)).eval()
    x = generator(1).random((2, 64, 64, channels)).astype(np.float32)
    back = model.reconstruct(x)
    assert back.shape == x.shape
    assert 0 < back.min() < back.max() < 1
    np.testing.assert_allclose(back, 0.5, atol=0.25)  # the initial image is grey


def test_codes_are_sampled_from_the_posteriors_of_the_images():
    images = generator().random((30, 28, 28, 1)).astype(np.float32)
    encoder, decoder = vae_shapes.networks(1, 2, generator())
    model = vae.VAE(encoder, decoder, 2).eval()
    found = vae_shapes.posteriors(model, images, size=8)
    mu, log_var = (host(t) for t in model.encode(tensor(vae_shapes.resized(images))))
    np.testing.assert_allclose(found, np.concatenate([mu, log_var], axis=1), atol=1e-4)
    posterior = np.tile(np.float32([[1, -2, 0, math.log(4)]]), (20_000, 1))
    z = vae_shapes.sample_codes(posterior, rng=generator())
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(axis=0), [1, -2], atol=0.07)
    np.testing.assert_allclose(z.std(axis=0), [1, 2], rtol=0.03)


def run_shapes(monkeypatch, folder, *options):
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(vae_shapes, "draw", lambda *_: None)
    arguments = [
        "--train",
        "40",
        "--test-images",
        "8",
        "--batch-size",
        "20",
        "--prior-steps",
        "6",
        "--out",
        str(folder),
        *options,
    ]
    monkeypatch.setattr(sys, "argv", ["vae_shapes.py", *arguments])
    vae_shapes.main()
    second = (folder / "prior" / "log.csv").read_text("utf-8").splitlines()
    return json.loads((folder / "results.json").read_text("utf-8")), second


def without_seconds(row):
    step, epoch, _, *values = row.split(",")
    return [step, epoch, *values]


def test_both_stages_of_shapes_resume_where_they_stopped(monkeypatch, tmp_path):
    whole, second = run_shapes(monkeypatch, tmp_path / "a", "--epochs", "2")
    with monkeypatch.context() as patch:

        def stop(*_, **__):
            raise KeyboardInterrupt

        patch.setattr(vae_shapes, "posteriors", stop)
        with pytest.raises(SystemExit):
            run_shapes(monkeypatch, tmp_path / "b", "--epochs", "2")
    resumed, again = run_shapes(monkeypatch, tmp_path / "b", "--resume")
    assert resumed["test_loss"] == whole["test_loss"]
    assert [without_seconds(row) for row in again] == [without_seconds(row) for row in second]
    run_shapes(monkeypatch, tmp_path / "b", "--resume")
    assert not (tmp_path / "b" / "prior-1").exists()
    run_shapes(monkeypatch, tmp_path / "b", "--epochs", "3", "--resume")
    assert (tmp_path / "b" / "prior-1").exists()


def test_every_training_step_normalises_with_batch_statistics(monkeypatch, tmp_path):
    train, seen = vae.train, []

    def watched(model, batches, *arguments, **options):
        modes = (seen.append(model.training) or batch for batch in batches)
        return train(model, modes, *arguments, **options)

    monkeypatch.setattr(vae, "train", watched)
    run_shapes(monkeypatch, tmp_path / "a", "--epochs", "2")
    assert len(seen) > 4
    assert all(seen)


def test_images_of_another_size_are_resized():
    x = generator().random((2, 64, 64, 3)).astype(np.float32)
    assert vae_shapes.resized(x) is x
    assert vae_shapes.resized(x[:, :28, :28], rng=generator()).shape == x.shape


@pytest.mark.parametrize("beta", ["-1", "nan", "much"])
def test_a_negative_beta_is_rejected_before_an_older_run_is_moved(
    monkeypatch, tmp_path, capsys, beta
):
    with vae_shapes.Run(tmp_path / "run"):
        pass
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit):
        run_shapes(monkeypatch, tmp_path / "run", "--beta", beta)
    error = capsys.readouterr().err
    assert "argument --beta: expected a number" in error and f"got '{beta}'" in error
    assert sorted(tmp_path.rglob("*")) == before
