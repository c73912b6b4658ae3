"""The published recipe of ResUNet-LC on the whole of Challenge 2021, and every knob there is.

Give `--config.data.records=DIR` the folder with the Challenge's .hea and .mat files.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """Returns the default configuration."""
    config = ConfigDict()
    # Seed of the initial parameters, the order of the records, crops, dropout and bootstraps; 0 to
    # 4294967295.
    config.seed = 1234
    # Of float32 convolutions and products: 'default' (on an A100 or H100 this means TF32, on a CPU
    # Winograd's form, which rounds some three times as much as the direct one), 'high', or
    # 'highest' (true float32, the direct form, for comparisons with other hardware).
    config.precision = "default"
    # The folder where compiled programs are kept between runs; 'off' keeps none.
    config.compilation_cache = "~/.cache/resunet_lc_jax"

    # A run's folder or a PyTorch checkpoint whose weights a new run starts from; unset: none.
    config.init_from = config_dict.placeholder(str)
    # Which checkpoint of that run: 'best' or 'latest'.
    config.init_checkpoint = "best"

    config.model = ConfigDict()
    # A network of resunet_lc_jax.models; MODEL_NAMES there lists them.
    config.model.name = "resunet_lc"
    # Channels, 1 or more; unset: the published width (128 for ResUNet-LC).
    config.model.width = config_dict.placeholder(int)
    # Share of elements dropped, 0 to below 1; unset: as published (0.5 for ResUNet-LC).
    config.model.dropout = config_dict.placeholder(float)
    # Whether BatchNorm's running variance is unbiased, as PyTorch keeps it; False: biased, as Flax
    # does.
    config.model.unbiased_variance = True
    # Whether res2d_lc and res2d_maxpool shift their identity where the number of leads is odd, as
    # published; the length is meant.
    config.model.odd_lead_shift = False
    # Whether BatchNorm uses its running statistics in training, too, and leaves them as they are:
    # for fine-tuning on little data, with `init_from`.
    config.model.freeze_statistics = False
    # Of activations: 'float32' or 'bfloat16' (half the memory and faster on a GPU). Parameters,
    # statistics and the loss stay float32.
    config.model.dtype = "float32"
    # Whether the backward pass computes each block's activations anew instead of keeping them: a
    # third more arithmetic, and on a CPU next to nothing saved of the peak (4.44 GB with it, 4.43
    # without, at batch 24; docs/performance.md). It has not been measured on a GPU.
    config.model.remat = False

    config.data = ConfigDict()
    # A folder with .hea files anywhere below it, or 'simulated'.
    config.data.records = config_dict.placeholder(str)
    # Where prepared data sets live; unset: TFDS's own folder (~/tensorflow_datasets).
    config.data.data_dir = config_dict.placeholder(str)
    # PTB-XL's ptbxl_database.csv, which makes the folds patient-safe for its records.
    config.data.patients = config_dict.placeholder(str)
    # How many records 'simulated' writes, 10 or more, and their seed.
    config.data.simulated_count = 2000
    config.data.simulated_seed = 0
    # 'clear' (few findings a record, each with a margin: for teaching and tests) or 'clinical' (as
    # varied as real ones: for networks that are to read real records).
    config.data.simulated_style = "clear"
    # Sampling rate and filter: '500hz', '400hz', '100hz' or '500hz_1-47hz'.
    config.data.variant = "500hz"
    # Samples of a crop, 1 or more; 4096 at 500 Hz are 8.2 s. ResUNet-LC wants a multiple of 128.
    config.data.length = 4096
    # The side at which a record that is shorter is padded: 'right' or 'left'.
    config.data.pad = "right"
    # Mean and standard deviation of the z-score: the whole 'record''s or the 'crop''s own.
    config.data.statistics = "record"
    # The leads to use: one or more of these names, in any order.
    config.data.leads = tuple("I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split())
    # Databases to use, and not to use, by name; several as 'ptb,ptb-xl'. Empty: all, and none.
    config.data.only_databases = ()
    config.data.except_databases = ()
    # Databases to test on as a whole; all others train, but for their validation folds. Empty: the
    # folds below say what tests.
    config.data.leave_out = ()
    # CSV files with a column 'record' that name the records of a split, instead of folds. Without
    # a validation list the validation folds' part of the training list validates.
    config.data.train_list = config_dict.placeholder(str)
    config.data.validation_list = config_dict.placeholder(str)
    config.data.test_list = config_dict.placeholder(str)
    # Which of the ten folds serve what (the field's convention); each serves once.
    config.data.train_folds = (1, 2, 3, 4, 5, 6, 7, 8)
    config.data.validation_folds = (9,)
    config.data.test_folds = (10,)
    # Processes that prepare records; 0: one a core.
    config.data.workers = 0

    config.train = ConfigDict()
    # Examples in a (global) batch; the devices must divide it. The last partial one is left out.
    config.train.batch_size = 24
    # Times that each training record is read, 1 or more.
    config.train.epochs = 30
    # Optimiser steps, 1 or more; overrides epochs where set.
    config.train.steps = config_dict.placeholder(int)
    # 'adam' (PyTorch's defaults, no weight decay) or 'sgd'.
    config.train.optimizer = "adam"
    # The step's size, above 0; from the first step on.
    config.train.learning_rate = 1e-3
    # When the rate is multiplied by drop_factor (above 0, at most 1): 'step' (every drop_epochs
    # epochs; 0: never) or 'plateau' (after plateau_patience validations without a new best of
    # `monitor`; 0: never).
    config.train.schedule = "step"
    config.train.drop_factor = 0.1
    config.train.drop_epochs = 20
    config.train.plateau_patience = 7
    # On a plateau the rate never falls below this share (0 to 1) of learning_rate.
    config.train.plateau_lowest = 0.01
    # Training ends after this many validations without a new best of `monitor`; 0: never.
    config.train.stop_patience = 0
    # The validation metric that they watch: 'loss' (the cross-entropy of the scores), 'auprc',
    # 'auroc', 'f_measure' or 'challenge_metric'.
    config.train.monitor = "auprc"
    # Gradients of a larger norm (over all parameters) are scaled down to it; 0: never.
    config.train.clip_norm = 0.0
    # Parts of a batch that go through the network one after the other, their gradients averaged:
    # a large batch in little memory. They divide the batch. BatchNorm normalises each part by
    # itself, unless model.freeze_statistics is on; then the result is the whole batch's.
    config.train.accumulate_steps = 1
    # Decay per step (0 to below 1) of moving averages of parameters and BatchNorm statistics, for
    # instance 0.999. With them validation, evaluation, prediction and export use the averages. 0:
    # none are kept.
    config.train.ema_decay = 0.0
    # How many steps in a row may be skipped since their loss or gradients are not finite, before
    # the run stops.
    config.train.skip_not_finite = 0
    # Steps between two rows in metrics.jsonl; 0: the last step alone.
    config.train.log_every_steps = 50
    # Steps between two checkpoints besides those at each epoch's end; 0: none.
    config.train.checkpoint_every_steps = 1000

    config.loss = ConfigDict()
    # 'bce' (binary cross-entropy), 'focal', 'asymmetric', or 'isibrno' (cross-entropy of the
    # logits, minus the soft Challenge score, a sum over the batch, and plus the sparsity of the
    # scores).
    config.loss.name = "bce"
    # Of 'bce' and 'isibrno', the factor of a positive's loss: 'none' (1) or 'balanced' (the
    # class's negatives / positives among the training records).
    config.loss.pos_weight = "none"
    # Whether a class that a record's database never gives is unknown there instead of negative.
    config.loss.mask_unannotated = False
    # Lin et al. 2017: focusing (0 or more), and the share of the positives (0 to 1).
    config.loss.focal_gamma = 2.0
    config.loss.focal_alpha = 0.25
    # Ridnik et al. 2021: focusing (0 or more), and the probability (0 to below 1) below which
    # negatives have no loss.
    config.loss.asymmetric_gamma_positive = 0.0
    config.loss.asymmetric_gamma_negative = 4.0
    config.loss.asymmetric_margin = 0.05

    # Random changes of training examples, on the device, in this order; 0 or () is off. The unit
    # of a signal is its standard deviation. What is missing stays 0.
    config.augment = ConfigDict()
    # All leads together earlier or later, by up to this many seconds, less than a crop.
    config.augment.time_shift_s = 0.0
    # All leads times one factor from 1 - this to 1 + this; 0 to 1.
    config.augment.amplitude = 0.0
    # A sine of 0.05 to 0.5 Hz; its largest amplitude.
    config.augment.wander = 0.0
    # White noise; its standard deviation (MVMS-Net: 0.1).
    config.augment.noise = 0.0
    # One of these lead sets of Challenge 2021, for instance (12, 6, 4, 3, 2), each as likely.
    config.augment.lead_sets = ()
    # The probability that a lead is left out, 0 to below 1.
    config.augment.lead_drop = 0.0
    # Each example with its neighbour in the batch (of an even size); alpha of the weights' beta
    # distribution.
    config.augment.mixup = 0.0

    config.eval = ConfigDict()
    # Windows in a batch of evaluation and prediction.
    config.eval.batch_size = 24
    # Windows of a record that is longer than data.length: 'all' (evenly spaced, mean of their
    # scores), 'first', or 'random' (one at a random place, as the published evaluation has it).
    # Validation during training takes the first, or with 'random' one at random.
    config.eval.windows = "all"
    # Chosen per class on the validation folds: 'f1' (best F1), 'reference' (best F1 among 0, 0.01,
    # .. 1, by the published rule), 'challenge' (best challenge metric) or 'fixed' (0.5).
    config.eval.thresholds = "f1"
    # Whether records with another fingerprint than the run's own may be evaluated.
    config.eval.other_records = False
    # Whether a run may be measured on records that trained or tuned it, or what it was started
    # from; reports, figures and comparisons then say so.
    config.eval.seen_records = False
    # Resamplings of the patients behind each 95 % interval of a report, 1 or more.
    config.eval.bootstrap_replicates = 1000

    config.parallel = ConfigDict()
    # 'auto': jit on one device, pmap on several of one process, jit over a mesh on several
    # processes; or 'jit' (mesh) or 'pmap'.
    config.parallel.mode = "auto"
    # BatchNorm's statistics: of the 'global' batch, or under pmap of each 'device' (PyTorch's DDP).
    config.parallel.batch_statistics = "global"
    # Several processes: address:port of process 0, their number, and which one this is. Unset,
    # they find each other under SLURM (srun) and Open MPI (mpirun).
    config.parallel.coordinator = config_dict.placeholder(str)
    config.parallel.num_processes = config_dict.placeholder(int)
    config.parallel.process_id = config_dict.placeholder(int)

    return config.lock()
