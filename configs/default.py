"""The published recipe of ResUNet-LC on the whole of Challenge 2021, and every knob there is.

Give `--config.data.records=DIR` the folder with the Challenge's .hea and .mat files.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """Returns the default configuration."""
    config = ConfigDict()
    # Seed of the initial parameters, the order of the records, crops and dropout.
    config.seed = 1234
    # Of float32 convolutions and products: 'default' (on an A100 or H100 this means TF32),
    # 'high', or 'highest' (true float32, for comparisons with other hardware).
    config.precision = "default"
    # Where compiled programs are kept between runs; 'off' keeps none.
    config.compilation_cache = "~/.cache/resunet_lc_jax"

    # A run's folder or a PyTorch checkpoint whose weights a new run starts from; unset: none.
    config.init_from = config_dict.placeholder(str)
    # Which checkpoint of that run: 'best' or 'latest'.
    config.init_checkpoint = "best"

    config.model = ConfigDict()
    # A network of resunet_lc_jax.models.
    config.model.name = "resunet_lc"
    # Channels; unset: the published width (128 for ResUNet-LC).
    config.model.width = config_dict.placeholder(int)
    # Share of elements dropped; unset: as published (0.5 for ResUNet-LC).
    config.model.dropout = config_dict.placeholder(float)
    # BatchNorm's running variance: unbiased, as PyTorch keeps it, or biased, as Flax does.
    config.model.unbiased_variance = True

    config.data = ConfigDict()
    # A folder with .hea files anywhere below it, or 'simulated'.
    config.data.records = config_dict.placeholder(str)
    # Where prepared data sets live; unset: TFDS's own folder (~/tensorflow_datasets).
    config.data.data_dir = config_dict.placeholder(str)
    # PTB-XL's ptbxl_database.csv, which makes the folds patient-safe for its records.
    config.data.patients = config_dict.placeholder(str)
    # How many records 'simulated' writes, and their seed.
    config.data.simulated_count = 2000
    config.data.simulated_seed = 0
    # Sampling rate and filter: '500hz', '400hz', '100hz' or '500hz_1-47hz'.
    config.data.variant = "500hz"
    # Samples of a crop; 4096 at 500 Hz are 8.2 s. ResUNet-LC wants a multiple of 128.
    config.data.length = 4096
    # The side at which a record that is shorter is padded: 'right' or 'left'.
    config.data.pad = "right"
    # Mean and standard deviation of the z-score: the whole 'record''s or the 'crop''s own.
    config.data.statistics = "record"
    # The leads to use, by name.
    config.data.leads = tuple("I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split())
    # Which of the ten folds serve what (the field's convention).
    config.data.train_folds = (1, 2, 3, 4, 5, 6, 7, 8)
    config.data.validation_folds = (9,)
    config.data.test_folds = (10,)
    # Records held in memory, still serialised (120 kB each at 500 Hz), to draw the next one from.
    config.data.shuffle_buffer = 4096
    # Processes that prepare records; 0: one a core.
    config.data.workers = 0

    config.train = ConfigDict()
    # Examples in a (global) batch; the devices must divide it. The last partial one is left out.
    config.train.batch_size = 24
    config.train.epochs = 30
    # Optimiser steps; overrides epochs where set.
    config.train.steps = config_dict.placeholder(int)
    # 'adam' (PyTorch's defaults, no weight decay) or 'sgd'.
    config.train.optimizer = "adam"
    config.train.learning_rate = 1e-3
    # The rate is multiplied by drop_factor every drop_epochs epochs; 0 keeps it constant.
    config.train.drop_epochs = 20
    config.train.drop_factor = 0.1
    # Steps between two rows in metrics.jsonl.
    config.train.log_every_steps = 50
    # Steps between two checkpoints besides those at each epoch's end; 0: none.
    config.train.checkpoint_every_steps = 1000

    config.eval = ConfigDict()
    # Windows in a batch of evaluation and prediction.
    config.eval.batch_size = 24
    # Windows of a record that is longer than data.length: 'all' (evenly spaced, mean of their
    # scores) or 'first'. Validation during training takes the first.
    config.eval.windows = "all"
    # 'fixed': windows as above; 'random': one at random, as the published evaluation does.
    config.eval.crop = "fixed"
    # Chosen per class on the validation folds: 'f1' (best F1), 'f1_grid' (among 0, 0.01, .. 1),
    # 'challenge' (best challenge metric) or 'fixed' (0.5).
    config.eval.thresholds = "f1"

    # Resamplings of the patients behind each 95 % interval of a report.
    config.eval.bootstrap_replicates = 1000

    config.parallel = ConfigDict()
    # 'auto': jit on one device, pmap on several of one process, jit over a mesh on several
    # processes; or 'jit' (mesh) or 'pmap'.
    config.parallel.mode = "auto"

    return config.lock()
