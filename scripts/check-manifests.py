#!/usr/bin/env python3
"""Holds the manifests in deploy/ against their schemas. scripts/check-deploy runs it in target/deploy-venv.

- Kubernetes: every kustomization is rendered and each object validated, unknown keys refused, for two versions.
- Argo: each object against the models of hera, and, where RECSYS_ARGO_SCHEMA names the file, against Argo's own JSON
  schema with keys refused that it does not know.
- Compose: against the Compose specification, unknown keys refused, with the values of .env.example.

Kustomize is not to be had everywhere, so `render` does the few things that the kustomizations of this repository use.
It refuses any other, and where kubectl or kustomize is installed, both must give the same objects.
"""

import copy
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import hera.workflows.models as argo_models
import jsonpatch
import jsonschema
import kubernetes_validate
import yaml
from compose_spec import PyCompose

# The oldest and the newest that kubernetes-validate knows.
KUBERNETES_VERSIONS = ["1.33", "1.37"]
KUBERNETES = "deploy/kubernetes"
ARGO = "deploy/argo"
COMPOSE = "deploy/compose"
# Kinds that belong to no namespace.
CLUSTER_WIDE = {"Namespace"}


class Problem(Exception):
    """Something in deploy/ is wrong; the message says where and what."""


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice in a mapping is an error, as it is to kubectl."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise Problem(f"{node.start_mark.name}:{node.start_mark.line + 1}: the key {key} stands twice")
        return super().construct_mapping(node, deep)


def documents(path):
    with open(path) as file:
        return [document for document in yaml.load_all(file, UniqueKeyLoader) if document]


def name(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


# Kubernetes


def render(folder, things=()):
    """The objects of a kustomization, or `things` changed by one that is a component."""
    [kustomization] = documents(f"{folder}/kustomization.yaml")
    known = {"apiVersion", "kind", "resources", "components", "configurations", "namespace", "images", "patches"}
    if unknown := set(kustomization) - known:
        raise Problem(f"{folder}/kustomization.yaml: {', '.join(sorted(unknown))} is not done by this check")
    things = list(things)
    for resource in kustomization.get("resources", []):
        path = os.path.normpath(f"{folder}/{resource}")
        things += render(path) if os.path.isdir(path) else documents(path)
    for component in kustomization.get("components", []):
        things = render(os.path.normpath(f"{folder}/{component}"), things)
    places = [place for path in kustomization.get("configurations", []) for place in image_places(f"{folder}/{path}")]
    things = [patched(folder, thing, kustomization.get("patches", [])) for thing in things]
    for patch in kustomization.get("patches", []):
        if not any(is_target(patch, thing) for thing in things):
            raise Problem(f"{folder}/{patch['path']}: there is no {patch['target']}")
    for thing in things:
        if "namespace" in kustomization:
            put_into(thing, kustomization["namespace"])
        for image in kustomization.get("images", []):
            for holder, key in [(container, "image") for container in containers(thing)] + held_images(thing, places):
                if re.fullmatch(re.escape(image["name"]) + "(:[^:/]+)?", holder.get(key, "")):
                    release = f"@{image['digest']}" if "digest" in image else f":{image['newTag']}"
                    holder[key] = image.get("newName", image["name"]) + release
    return things


def image_places(path):
    """Where objects that have no pod keep an image, as kind and path."""
    [configuration] = documents(path)
    if unknown := set(configuration) - {"images"}:
        raise Problem(f"{path}: {', '.join(sorted(unknown))} is not done by this check")
    return [(place["kind"], place["path"].split("/")) for place in configuration["images"]]


def held_images(thing, places):
    """What holds an image there, and under which key."""
    found = []
    for kind, path in places:
        holders = [thing] if thing["kind"] == kind else []
        for step in path[:-1]:
            holders = [holder[step.removesuffix("[]")] for holder in holders if step.removesuffix("[]") in holder]
            if step.endswith("[]"):
                holders = [item for items in holders for item in items]
        found += [(holder, path[-1]) for holder in holders if path[-1] in holder]
    return found


def is_target(patch, thing):
    target = patch["target"]
    if unknown := set(target) - {"kind", "name"} | set(patch) - {"path", "target"}:
        raise Problem(f"{patch}: {', '.join(sorted(unknown))} is not done by this check")
    return thing["kind"] == target["kind"] and target.get("name", thing["metadata"]["name"]) == thing["metadata"]["name"]


def patched(folder, thing, patches):
    for patch in patches:
        if is_target(patch, thing):
            with open(f"{folder}/{patch['path']}") as file:
                operations = yaml.load(file, UniqueKeyLoader)
            try:
                thing = jsonpatch.apply_patch(copy.deepcopy(thing), operations)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
                raise Problem(f"{folder}/{patch['path']}: {name(thing)}: {error}") from error
    return thing


def put_into(thing, namespace):
    if thing["kind"] not in CLUSTER_WIDE:
        thing["metadata"]["namespace"] = namespace
    for subject in thing.get("subjects", []):
        subject["namespace"] = namespace


def containers(thing):
    """Those of whatever has a pod."""
    if isinstance(thing, dict):
        if isinstance(thing.get("containers"), list):
            yield from thing["containers"]
        for value in thing.values():
            yield from containers(value)


def kustomized(folder):
    """The same by kustomize itself, or nothing where there is none."""
    for program in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(program[0]):
            output = subprocess.run([*program, folder], capture_output=True, text=True)
            if output.returncode:
                raise Problem(f"{folder}: {' '.join(program)}: {output.stderr.strip()}")
            return [thing for thing in yaml.safe_load_all(output.stdout) if thing]
    return None


def by_name(things):
    found = {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}
    if len(found) != len(things):
        raise Problem(f"an object stands twice among {sorted(found)}")
    return found


def check_kubernetes(folder):
    things = render(folder)
    theirs = kustomized(folder)
    if theirs is not None:
        ours, theirs = by_name(things), by_name(theirs)
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                raise Problem(f"{folder}: kustomize gives another {key}:\n{ours.get(key)}\n{theirs.get(key)}")
    for thing in things:
        if thing["apiVersion"].startswith("argoproj.io/"):
            continue
        for version in KUBERNETES_VERSIONS:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(map(str, error.path))
                raise Problem(f"{folder}: {name(thing)}: Kubernetes {version}: {place}: {error.message}") from error
    rendered = "as kustomize renders it" if theirs is not None else "rendered without kustomize, which is not here"
    print(f"{folder}: {len(things)} objects, valid for Kubernetes {' and '.join(KUBERNETES_VERSIONS)}, {rendered}")


# Argo


def closed(schema):
    """A schema whose objects take no key that it does not know."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            closed(value)
    elif isinstance(schema, list):
        for value in schema:
            closed(value)
    return schema


def argo_validator():
    path = os.environ.get("RECSYS_ARGO_SCHEMA")
    if not path:
        return None
    with open(path) as file:
        return closed(json.load(file))


def check_argo(thing, path, schema):
    kind = thing["kind"]
    try:
        model = getattr(argo_models, kind).model_validate(thing)
    except ValueError as error:
        raise Problem(f"{path}: {name(thing)}: {error}") from error
    # The models keep silent about a key that they do not know; what they have kept is compared.
    kept = json.loads(model.model_dump_json(exclude_unset=True, by_alias=True))
    if lost := difference(thing, kept):
        raise Problem(f"{path}: {name(thing)}: {lost} is unknown to hera")
    if schema is not None:
        definition = f"#/definitions/io.argoproj.workflow.v1alpha1.{kind}"
        validator = jsonschema.Draft202012Validator({"$ref": definition, "definitions": schema["definitions"]})
        if errors := sorted(validator.iter_errors(thing), key=lambda error: list(error.path)):
            error = errors[0]
            raise Problem(f"{path}: {name(thing)}: {'.'.join(map(str, error.path))}: {error.message}")


def difference(given, kept, path=""):
    """Where the first key is that is not in both."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                return f"{path}.{key}".lstrip(".")
            if found := difference(value, kept[key], f"{path}.{key}"):
                return found
    if isinstance(given, list) and isinstance(kept, list):
        for number, (value, other) in enumerate(zip(given, kept)):
            if found := difference(value, other, f"{path}[{number}]"):
                return found
    return None


# Compose


def environment():
    with open(f"{COMPOSE}/.env.example") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def interpolated(value, variables, used):
    """`${NAME}`, `${NAME:-default}` and `${NAME:?message}` filled in."""
    if isinstance(value, dict):
        return {key: interpolated(item, variables, used) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, variables, used) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match):
        variable, default = match[1], match[2]
        used.add(variable)
        if variable not in variables:
            raise Problem(f"{COMPOSE}/.env.example does not have {variable}")
        if default and default.startswith(":-") and default[2:] != variables[variable]:
            raise Problem(f"{variable} is {variables[variable]} in .env.example and {default[2:]} in the compose file")
        return variables[variable]

    return re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", fill, value)


def check_compose():
    path = f"{COMPOSE}/docker-compose.yml"
    variables, used = environment(), set()
    [project] = documents(path)
    project = interpolated(project, variables, used)
    if unused := set(variables) - used:
        raise Problem(f"{COMPOSE}/.env.example: nothing uses {', '.join(sorted(unused))}")
    try:
        PyCompose.from_yaml(yaml.safe_dump(project))
    except ValueError as error:
        raise Problem(f"{path}: {error}") from error
    for service, settings in project["services"].items():
        for needed in settings.get("depends_on", {}):
            if needed not in project["services"]:
                raise Problem(f"{path}: {service} depends on {needed}, which is not there")
    print(f"{path}: {len(project['services'])} services, as the Compose specification has them")


# Images


def images():
    """Every image that something in deploy/ names, and where."""
    for path in sorted(glob.glob("deploy/docker/*Dockerfile")):
        with open(path) as file:
            yield from ((path, image) for image in re.findall(r"^ARG \w+_IMAGE=(\S+)$", file.read(), re.MULTILINE))
    for path in sorted(glob.glob(f"{KUBERNETES}/**/kustomization.yaml", recursive=True)):
        if not is_component(path):
            folder = os.path.dirname(path)
            yield from ((folder, container["image"]) for thing in render(folder) for container in containers(thing))
    variables = environment()
    [project] = documents(f"{COMPOSE}/docker-compose.yml")
    for settings in interpolated(project, variables, set())["services"].values():
        yield COMPOSE, settings["image"]


def check_images():
    found = sorted(set(images()))
    for place, image in found:
        # The base of Kubernetes leaves the release to the overlays.
        if place in (f"{KUBERNETES}/base", f"{KUBERNETES}/jobs") and image == "recsys-pipelines":
            continue
        # Argo fills it in.
        if image.startswith("{{"):
            continue
        tag = image.split("@")[0].rpartition(":")[2] if ":" in image.rpartition("/")[2] else ""
        if tag in ("", "latest"):
            raise Problem(f"{place}: the image {image} has no release")
        if image.startswith(("minio/", "quay.io/minio/")):
            raise Problem(f"{place}: {image}: MinIO publishes no images any more; deploy/docker/minio.Dockerfile builds it")
    print(f"deploy: {len({image for _, image in found})} images, each with a release")


def check_argo_image():
    """Argo's jobs run the image of the overlay, like all others."""
    overlay = f"{KUBERNETES}/overlays/production"
    [of_overlay] = {container["image"] for thing in render(overlay) for container in containers(thing)}
    [template] = [thing for thing in render(f"{overlay}/argo") if thing["kind"] == "WorkflowTemplate"]
    [of_argo] = [item["value"] for item in template["spec"]["arguments"]["parameters"] if item["name"] == "image"]
    if of_argo != of_overlay:
        raise Problem(f"{overlay}/argo: the image is {of_argo}, and that of {overlay} is {of_overlay}")
    print(f"{overlay}/argo: {of_argo}, as in the overlay")


def is_component(path):
    [kustomization] = documents(path)
    return kustomization["kind"] == "Component"


def main():
    for path in sorted(glob.glob(f"{KUBERNETES}/**/kustomization.yaml", recursive=True)):
        if not is_component(path):
            check_kubernetes(os.path.dirname(path))
    check_kubernetes(ARGO)
    schema = argo_validator()
    things = [thing for thing in render(ARGO) if thing["apiVersion"].startswith("argoproj.io/")]
    for thing in things:
        check_argo(thing, ARGO, schema)
    against = "hera's models" + (" and Argo's own schema" if schema else "; RECSYS_ARGO_SCHEMA names no schema of Argo")
    print(f"{ARGO}: {', '.join(name(thing) for thing in things)}: checked against {against}")
    check_compose()
    check_images()
    check_argo_image()


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"error: {problem}")
