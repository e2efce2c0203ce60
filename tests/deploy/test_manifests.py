"""The files for clusters: their structure, and that they agree with each other and with the image."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import skips

jsonschema = pytest.importorskip("jsonschema", reason=skips.PACKAGES)

DEPLOY = Path(__file__).parents[2] / "deploy"
RAY = re.findall(r"ray\[default\]==([\d.]+)", (DEPLOY / "Dockerfile").read_text())[0]


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def rayjob() -> Any:
    return manifest("rayjob.yaml")


def check_rayjob(found: Any) -> None:
    schema = json.loads((Path(__file__).parent / "kuberay.json").read_text())
    jsonschema.Draft7Validator(schema).validate(found)


def templates(found: Any) -> Iterator[Any]:
    yield found["spec"]["submitterPodTemplate"]["spec"]
    cluster = found["spec"]["rayClusterSpec"]
    yield cluster["headGroupSpec"]["template"]["spec"]
    yield from (group["template"]["spec"] for group in cluster["workerGroupSpecs"])


def megabytes(text: str) -> int:
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def cores(text: str) -> float:
    return int(text[:-1]) / 1000 if text.endswith("m") else int(text)


def test_the_kuberay_manifest_has_the_structure_of_a_rayjob() -> None:
    check_rayjob(rayjob())


@pytest.mark.parametrize(
    "path", ["spec/backofLimit", "spec/rayClusterSpec/workers", "spec/submitterPodTemplate/spec/x"]
)
def test_a_field_that_kuberay_does_not_know_is_found(path: str) -> None:
    found = rayjob()
    *parents, name = path.split("/")
    place = found
    for parent in parents:
        place = place[parent]
    place[name] = 1
    with pytest.raises(jsonschema.ValidationError):
        check_rayjob(found)


def test_every_pod_is_bounded_and_has_no_rights() -> None:
    for spec in templates(rayjob()):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        user = str(spec["securityContext"]["runAsUser"])
        assert f"--uid {user}" in (DEPLOY / "Dockerfile").read_text()
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert cores(requests["cpu"]) <= cores(limits["cpu"])
            assert megabytes(requests["memory"]) == megabytes(limits["memory"])  # memory cannot be taken back


def test_every_mount_has_its_volume_and_the_output_that_of_the_claim() -> None:
    for spec in templates(rayjob()):
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {m["name"] for c in spec["containers"] for m in c["volumeMounts"]} == volumes
    head = rayjob()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (claim,) = [v["persistentVolumeClaim"]["claimName"] for v in head["volumes"] if "persistentVolumeClaim" in v]
    assert claim == manifest("output.yaml")["metadata"]["name"]
    environment = {item["name"]: item["value"] for item in head["containers"][0]["env"]}
    places = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    assert environment["OUTPUT"].startswith(places["output"] + "/")
    script = rayjob()["spec"]["entrypoint"].split()[1]
    assert script == f"{places['script']}/caption.sh"


def test_the_entrypoint_needs_no_quotes() -> None:
    """KubeRay splits it into words, and gives them to a shell without quotes."""
    assert not re.search(r"""["'\\$;&|<>`()]""", rayjob()["spec"]["entrypoint"])


def test_workers_fill_the_machines_and_none_is_on_the_head() -> None:
    cluster = rayjob()["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    machine = cores(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    environment = {item["name"]: item["value"] for item in head["env"]}
    assert int(environment["WORKERS"]) * int(environment["THREADS"]) == group["replicas"] * machine
    assert group["minReplicas"] == group["maxReplicas"] == group["replicas"]


def test_ray_has_one_version_everywhere() -> None:
    assert rayjob()["spec"]["rayClusterSpec"]["rayVersion"] == RAY
    assert f'"ray[default]=={RAY}"' in (DEPLOY / "ray-up.yaml").read_text()
    images = {container["image"] for spec in templates(rayjob()) for container in spec["containers"]}
    assert len(images) == 1


def test_no_file_has_a_secret() -> None:
    for spec in templates(rayjob()):
        for container in spec["containers"]:
            for item in container.get("env", []):
                assert not re.search(r"KEY|SECRET|TOKEN|PASSWORD", item["name"]), item
    for path in DEPLOY.iterdir():
        assert not re.search(r"AKIA[0-9A-Z]{16}|(?i:secret_access_key['\"]?\s*[:=]\s*\S)", path.read_text()), path


def test_ray_up_takes_its_file() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", reason=skips.PACKAGES)
    found = manifest("ray-up.yaml")
    util.validate_config(util.prepare_config(copy.deepcopy(found)))
    nodes = found["available_node_types"]
    assert nodes["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in nodes["head"]["node_config"]
    assert sum(node["max_workers"] for node in nodes.values()) == found["max_workers"]
    nodes["worker"]["instances"] = 3
    with pytest.raises(jsonschema.ValidationError, match="instances"):
        util.validate_config(util.prepare_config(found))
