"""What a training is made with, told once and not for each step."""

from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.records import Params
from instrument.summary import RunSummary

torch = pytest.importorskip("torch", reason="torch is not installed: nothing trains")


def summary_of(run: ExperimentContext) -> RunSummary:
    assert run.store is not None
    return run.store.run(run.id)


def recorded(work: Any) -> RunSummary:
    with ExperimentContext(name="train", monitor_hardware=False, capture_level=1) as run:
        work()
    summary = summary_of(run)
    assert summary.recording.problems == []
    return summary


def test_optimizer_scheduler_and_loader() -> None:
    def work() -> None:
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)
        torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.2)
        data = torch.utils.data.TensorDataset(torch.zeros(10, 3))
        for (rows,) in torch.utils.data.DataLoader(data, batch_size=4, shuffle=True):
            optimizer.zero_grad()
            model(rows).sum().backward()
            optimizer.step()

    params = recorded(work).params
    assert params["optimizer.class"] == "SGD"
    assert params["optimizer.lr"] == 0.25
    assert params["optimizer.momentum"] == 0.5
    assert params["optimizer.parameters"] == 8
    assert params["scheduler.class"] == "StepLR"
    assert (params["scheduler.step_size"], params["scheduler.gamma"]) == (7, 0.2)
    assert params["dataloader.batch_size"] == 4
    assert params["dataloader.sampler"] == "RandomSampler"
    assert params["dataloader.examples"] == 10


def test_groups_and_a_second_one() -> None:
    def work() -> None:
        first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        groups = [
            {"params": first.parameters(), "lr": 0.1},
            {"params": second.parameters(), "lr": 0.01},
        ]
        torch.optim.AdamW(groups)
        for _ in range(3):
            torch.optim.SGD(first.parameters(), lr=1.0)

    params = recorded(work).params
    assert (params["optimizer.group_0.lr"], params["optimizer.group_1.lr"]) == (0.1, 0.01)
    assert params["optimizer_2.class"] == "SGD"
    assert "optimizer_3.class" not in params


def test_what_is_made_over_and_over_stays_bounded() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        for number in range(50):
            torch.optim.SGD(parameters, lr=1.0 + number)
    assert run.store is not None
    told = [entry for entry in run.store.entries(run.id) if isinstance(entry.record, Params)]
    assert len(told) == 8


def test_the_users_error_is_the_users() -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="Invalid learning rate"):
            torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=-1.0)

    recorded(work)


def test_a_trainer_of_transformers(models: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")

    class Data(torch.utils.data.Dataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> dict[str, Any]:
            ids = torch.full((4,), index + 5)
            return {"input_ids": ids, "labels": ids}

    def work() -> None:
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            learning_rate=0.125,
            per_device_train_batch_size=2,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        model = transformers.LlamaForCausalLM.from_pretrained(models / "llama")
        transformers.Trainer(model=model, args=arguments, train_dataset=Data()).train()

    params = recorded(work).params
    assert params["trainer.learning_rate"] == 0.125
    assert params["trainer.max_steps"] == 1
    assert params["trainer.examples"] == 2
    assert params["optimizer.class"] == "AdamW"
    assert params["scheduler.class"] == "LambdaLR"
