"""Keys that are set where nothing reads them are named before training."""

import pytest

from textae.config.choices import VocabularyLossKind
from textae.config.ineffective import without_effect
from textae.config.schema import Config, ModelConfig, PydocsConfig, TextConfig, TokenizerConfig, TrainingConfig

pytestmark = pytest.mark.backend_free

SET = [
    ({"model": ModelConfig(kl_weight=0.1)}, {"model.kl_weight": "model.variational=false"}),
    ({"model": ModelConfig(free_bits=1.0)}, {"model.free_bits": "model.variational=false"}),
    ({"model": ModelConfig(kl_weight=0.1, variational=True)}, {}),
    ({"model": ModelConfig(logit_scale=10)}, {"model.logit_scale": "model.output=dot"}),
    ({"model": ModelConfig(logit_scale=10, output="cosine")}, {}),
    (
        {"training": TrainingConfig(bag_of_words_weight=2.0)},
        {"training.bag_of_words_weight": "model.bag_of_words=false"},
    ),
    (
        {"training": TrainingConfig(contrastive_temperature=0.2)},
        {"training.contrastive_temperature": "training.contrastive_weight=0"},
    ),
    (
        {"model": ModelConfig(residual_blocks=[0, 0], kernel_size=5)},
        {"model.kernel_size": "the model has no residual blocks"},
    ),
    ({"model": ModelConfig(residual_blocks=[0, 0], encoder_residual_blocks=[1, 0], kernel_size=5)}, {}),
    ({"model": ModelConfig(residual_blocks=[0, 0], normalization="none")}, {}),  # the output's own is another one
    (
        {"tokenizer": TokenizerConfig(kind="words", sample_megabytes=1)},
        {"tokenizer.sample_megabytes": "tokenizer.kind=words"},
    ),
    (
        {"tokenizer": TokenizerConfig(vocabulary_size=500, target_vocabulary_size=400)},
        {"tokenizer.target_vocabulary_size": "tokenizer.vocabulary_size=500"},
    ),
    (
        {"tokenizer": TokenizerConfig(kind="bytes", target_vocabulary_size=400)},
        {"tokenizer.target_vocabulary_size": "tokenizer.kind=bytes"},
    ),
    (
        {"corpus": TextConfig(files=["a"], test_files=["b"], test_share=0.1)},
        {"corpus.test_share": "other keys name the test split"},
    ),
    ({"corpus": TextConfig(files=["a"], validation_files=["b"], test_share=0.1)}, {}),
    (
        {"training": TrainingConfig(schedule="constant", final_learning_rate=0.5)},
        {"training.final_learning_rate": "training.schedule=constant"},
    ),
    (
        {"training": TrainingConfig(vocabulary_loss=VocabularyLossKind.full, sampled_ids=9)},
        {"training.sampled_ids": "training.vocabulary_loss=full"},
    ),
    (
        {"training": TrainingConfig(overfit_documents=4, validation_documents=9)},
        {"training.validation_documents": "training.overfit_documents=4"},
    ),
]


@pytest.mark.parametrize(("parts", "expected"), SET, ids=[str(list(e)) + str(i) for i, (_, e) in enumerate(SET)])
def test_a_key_that_nothing_reads_is_named_with_the_reason(parts, expected):
    assert without_effect(Config(**{"corpus": PydocsConfig()} | parts)) == expected


def test_defaults_are_not_named():
    config = Config(
        corpus=TextConfig(files=["a"], test_files=["b"], validation_files=["c"]),
        tokenizer=TokenizerConfig(kind="bytes"),
        model=ModelConfig(residual_blocks=[0, 0]),
        training=TrainingConfig(schedule="constant", label_smoothing=0.1, overfit_documents=1),
    )
    assert without_effect(config) == {}
