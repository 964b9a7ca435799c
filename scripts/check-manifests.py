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


def render(folder):
    """The objects of a kustomization."""
    [kustomization] = documents(f"{folder}/kustomization.yaml")
    known = {"apiVersion", "kind", "resources", "namespace", "images", "patches"}
    if unknown := set(kustomization) - known:
        raise Problem(f"{folder}/kustomization.yaml: {', '.join(sorted(unknown))} is not done by this check")
    things = []
    for resource in kustomization["resources"]:
        path = os.path.normpath(f"{folder}/{resource}")
        things += render(path) if os.path.isdir(path) else documents(path)
    things = [patched(folder, thing, kustomization.get("patches", [])) for thing in things]
    for patch in kustomization.get("patches", []):
        if not any(is_target(patch, thing) for thing in things):
            raise Problem(f"{folder}/{patch['path']}: there is no {patch['target']}")
    for thing in things:
        if "namespace" in kustomization:
            put_into(thing, kustomization["namespace"])
        for container in containers(thing):
            for image in kustomization.get("images", []):
                if container["image"].rsplit(":", 1)[0] == image["name"]:
                    release = f"@{image['digest']}" if "digest" in image else f":{image['newTag']}"
                    container["image"] = image.get("newName", image["name"]) + release
    return things


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
        if ":" not in settings["image"] or settings["image"].endswith(":latest"):
            raise Problem(f"{path}: the image of {service} has no release")
    print(f"{path}: {len(project['services'])} services, as the Compose specification has them")


def main():
    for path in sorted(glob.glob(f"{KUBERNETES}/**/kustomization.yaml", recursive=True)):
        check_kubernetes(os.path.dirname(path))
    check_kubernetes(ARGO)
    schema = argo_validator()
    things = [thing for thing in render(ARGO) if thing["apiVersion"].startswith("argoproj.io/")]
    for thing in things:
        check_argo(thing, ARGO, schema)
    against = "hera's models" + (" and Argo's own schema" if schema else "; RECSYS_ARGO_SCHEMA names no schema of Argo")
    print(f"{ARGO}: {', '.join(name(thing) for thing in things)}: checked against {against}")
    check_compose()


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"error: {problem}")
