"""Reads Kubernetes objects, and checks them against the schemas of Kubernetes itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/extauthz"
Object = dict[str, Any]

KUBERNETES = ("1.30", "1.37")
"""The oldest version that the manifests are for, and the newest with a schema here."""

OF_OTHERS = ("monitoring.coreos.com/", "gateway.", "networking.istio.io/", "security.istio.io/")
"""Groups that Kubernetes has no schema for."""


def needed(module: str) -> Any:
    """A module of the extra ``deploy``, too large for everyday; in CI it must be there."""
    try:
        return import_module(module)
    except ImportError:
        cure = "make deploy-tools, or in a clone: pip install '.[deploy]'"
        if os.environ.get("CI"):
            pytest.fail(f"{module} is missing and CI is set: {cure}")
        pytest.skip(f"NOT TESTED: there is no {module} here; {cure}")


def objects(text: str) -> list[Object]:
    """The objects of a file of several documents."""
    found = yaml.load_all(text, yaml.CSafeLoader)
    return [one for one in found if one is not None]


def read(file: Path) -> Any:
    """The one document of a file."""
    return yaml.load(file.read_text(), yaml.CSafeLoader)  # noqa: TID251


def check(found: Iterable[Object]) -> None:
    """Every object that Kubernetes knows is one that it takes, unknown fields refused."""
    needed("kubernetes_validate")
    for one in found:
        if not one["apiVersion"].startswith(OF_OTHERS):
            _check(json.dumps(one))


@cache
def _check(written: str) -> None:
    for version in KUBERNETES:
        needed("kubernetes_validate").validate(json.loads(written), version, strict=True)


def only(found: Iterable[Object], kind: str, name: str | None = None) -> Object:
    """The one object of a kind."""
    (one,) = [
        each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    return one


def pod(deployment: Object) -> Object:
    """The pod that a Deployment makes."""
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def container(deployment: Object) -> Object:
    """The container of extauthz."""
    (one,) = [each for each in pod(deployment)["containers"] if each["name"] == "extauthz"]
    found: Object = one
    return found


def environment(deployment: Object) -> dict[str, str]:
    """The variables that the container is given by name."""
    return {one["name"]: one["value"] for one in container(deployment)["env"]}


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def runs_without_privileges(deployment: Object) -> None:
    """Non-root by number, read-only, no capabilities, no token of the cluster's."""
    spec, own = pod(deployment), container(deployment)
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["runAsGroup"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for volume in spec["volumes"]:
        assert "hostPath" not in volume


def ends_in_time(deployment: Object) -> None:
    """The pause before SIGTERM and the 10 s of the contract fit into the pod's grace."""
    pause = container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pod(deployment)["terminationGracePeriodSeconds"] >= pause + 10


def ports_have_names(found: list[Object]) -> None:
    """Whatever names a port of the pods names one that there is."""
    names = {port["name"] for port in container(only(found, "Deployment"))["ports"]}
    for one in found:
        if one["kind"] == "Service":
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= names
        if one["kind"] == "NetworkPolicy":
            for rule in one["spec"]["ingress"]:
                assert {port["port"] for port in rule["ports"]} <= names


def pods_are_selected(found: list[Object]) -> None:
    """Services, budgets, policies and the Deployment itself select the pods it makes."""
    deployment = only(found, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert selects(deployment["spec"]["selector"]["matchLabels"], labels)
    for one in found:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            assert selects(spec["selector"], labels)
        if one["kind"] == "PodDisruptionBudget":
            assert selects(spec["selector"]["matchLabels"], labels)
        if one["kind"] == "NetworkPolicy":
            assert selects(spec["podSelector"]["matchLabels"], labels)
        if one["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            assert target["name"] == deployment["metadata"]["name"]
            assert target["kind"] == "Deployment"
