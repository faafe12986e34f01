"""Objects without a node: core, apps, custom resources, watches, the dynamic client."""
import datetime
import threading

from kubernetes import client, dynamic, utils, watch
from kubernetes.dynamic.exceptions import NotFoundError

from checks import check, eventually, refused, want

SPACE = "python"
core, apps = client.CoreV1Api(), client.AppsV1Api()


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "python"}), data=data)


@check("a namespace")
def _():
    made = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=SPACE)))
    want(made.status.phase, "Active")
    want(SPACE in [n.metadata.name for n in core.list_namespace().items], True)
    patched = core.patch_namespace(SPACE, {"metadata": {"labels": {"team": "snakes"}}})
    want(patched.metadata.labels["team"], "snakes")
    eventually(20, lambda: [a for a in core.list_namespaced_service_account(SPACE).items if a.metadata.name == "default"])


@check("config maps: create, read, list, replace, patch, delete")
def _():
    core.create_namespaced_config_map(SPACE, config_map("words", one="1"))
    refused(409, core.create_namespaced_config_map, SPACE, config_map("words"))
    read = core.read_namespaced_config_map("words", SPACE)
    want(isinstance(read.metadata.creation_timestamp, datetime.datetime), True)
    read.data["two"] = "2"
    replaced = core.replace_namespaced_config_map("words", SPACE, read)
    refused(409, core.replace_namespaced_config_map, "words", SPACE, read)  # of the earlier resourceVersion
    want(replaced.data, {"one": "1", "two": "2"})
    want(core.patch_namespaced_config_map("words", SPACE, {"data": {"one": None}}).data, {"two": "2"})
    want(core.patch_namespaced_config_map("words", SPACE, [{"op": "add", "path": "/data/three", "value": "3"}]).data, {"two": "2", "three": "3"})
    for i in range(5):
        core.create_namespaced_config_map(SPACE, config_map(f"page-{i}"))
    page = core.list_namespaced_config_map(SPACE, label_selector="made=python", limit=4)
    want((len(page.items), page.metadata.remaining_item_count), (4, None))  # a count is not told with a selector
    page = core.list_namespaced_config_map(SPACE, label_selector="made=python", limit=4, _continue=page.metadata._continue)
    want(len(page.items), 2)
    want(core.delete_namespaced_config_map("words", SPACE)["status"], "Success")
    core.delete_collection_namespaced_config_map(SPACE, label_selector="made=python")
    want(core.list_namespaced_config_map(SPACE, label_selector="made=python").items, [])
    refused(404, core.read_namespaced_config_map, "words", SPACE)


@check("secrets, services, events")
def _():
    secret = core.create_namespaced_secret(SPACE, client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"}))
    want(secret.data, {"a": "Yg=="})
    service = core.create_namespaced_service(SPACE, client.V1Service(metadata=client.V1ObjectMeta(name="s"), spec=client.V1ServiceSpec(
        selector={"a": "b"}, ports=[client.V1ServicePort(port=80, target_port="web")])))
    want((service.spec.ports[0].target_port, service.spec.type), ("web", "ClusterIP"))
    about = client.V1ObjectReference(kind="Service", name="s", namespace=SPACE)
    event = client.EventsV1Event(metadata=client.V1ObjectMeta(name="e"), reason="Tested", action="Test", type="Normal", note="by python",
                                 event_time=datetime.datetime.now(datetime.timezone.utc), regarding=about,
                                 reporting_controller="clients/python", reporting_instance="one")
    want(client.EventsV1Api().create_namespaced_event(SPACE, event).note, "by python")
    want([e.message for e in core.list_namespaced_event(SPACE, field_selector="reason=Tested").items], ["by python"])


@check("what is wrong is refused with Kubernetes' words")
def _():
    said = refused(422, core.create_namespaced_pod, SPACE, {"metadata": {"name": "UPPER"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    want("a lowercase RFC 1123 subdomain must consist of" in said, True)
    maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
    said = refused(400, maps.create, body={"metadata": {"name": "x"}, "dat": {}}, namespace=SPACE, query_params=[("fieldValidation", "Strict")])
    want('unknown field \\"dat\\"' in said, True)
    want(core.create_namespaced_config_map(SPACE, config_map("dry"), dry_run="All").metadata.name, "dry")
    refused(404, core.read_namespaced_config_map, "dry", SPACE)


@check("a deployment: create, scale, status, revisions' collection")
def _():
    container = client.V1Container(name="main", image="docker.io/library/orch-hello:1", resources=client.V1ResourceRequirements(requests={"cpu": "10m"}))
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"app": "still"}),
                                        spec=client.V1PodSpec(containers=[container], node_selector={"no": "where"}))
    apps.create_namespaced_deployment(SPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="still"), spec=client.V1DeploymentSpec(
        replicas=2, selector=client.V1LabelSelector(match_labels={"app": "still"}), template=template)))
    eventually(20, lambda: apps.read_namespaced_deployment_status("still", SPACE).status.replicas == 2)
    want(apps.patch_namespaced_deployment_scale("still", SPACE, {"spec": {"replicas": 3}}).spec.replicas, 3)
    eventually(20, lambda: apps.read_namespaced_deployment_status("still", SPACE).status.replicas == 3)
    apps.delete_namespaced_deployment("still", SPACE, propagation_policy="Foreground")
    eventually(20, lambda: not core.list_namespaced_pod(SPACE, label_selector="app=still").items)
    eventually(20, lambda: not apps.list_namespaced_replica_set(SPACE).items)


DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: snakes.clients.orch.test}
spec:
  group: clients.orch.test
  scope: Namespaced
  names: {kind: Snake, plural: snakes, shortNames: [sn]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.eggs, statusReplicasPath: .status.eggs}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {length: {type: integer, minimum: 1}, eggs: {type: integer, default: 2}}
          status: {type: object, properties: {eggs: {type: integer}}}
"""
WHERE = {"group": "clients.orch.test", "version": "v1", "namespace": SPACE, "plural": "snakes"}


def snake(name, length):
    return {"apiVersion": "clients.orch.test/v1", "kind": "Snake", "metadata": {"name": name}, "spec": {"length": length}}


@check("a custom resource definition, from YAML")
def _():
    import yaml

    utils.create_from_yaml(client.ApiClient(), yaml_objects=[yaml.safe_load(DEFINITION)])
    extensions = client.ApiextensionsV1Api()

    def established():
        conditions = extensions.read_custom_resource_definition("snakes.clients.orch.test").status.conditions or []
        return {"Established", "NamesAccepted"} <= {c.type for c in conditions if c.status == "True"}

    eventually(20, established)
    want("snakes" in [r.name for r in client.CustomObjectsApi().get_api_resources("clients.orch.test", "v1").resources], True)


@check("custom objects: create, list, patch, replace, status, scale, delete")
def _():
    api = client.CustomObjectsApi()
    made = api.create_namespaced_custom_object(body=snake("adder", 60), **WHERE)
    want(made["spec"], {"length": 60, "eggs": 2})
    want("should be greater than or equal to 1" in refused(422, api.create_namespaced_custom_object, body=snake("short", 0), **WHERE), True)
    want(api.patch_namespaced_custom_object(name="adder", body={"spec": {"length": 70}}, **WHERE)["spec"]["length"], 70)
    now = api.get_namespaced_custom_object(name="adder", **WHERE)
    want(now["metadata"]["generation"], 2)
    now["spec"]["length"] = 80
    want(api.replace_namespaced_custom_object(name="adder", body=now, **WHERE)["spec"]["length"], 80)
    status = api.patch_namespaced_custom_object_status(name="adder", body={"status": {"eggs": 1}, "spec": {"length": 1}}, **WHERE)
    want((status["status"], status["spec"]["length"]), ({"eggs": 1}, 80))
    scale = api.patch_namespaced_custom_object_scale(name="adder", body={"spec": {"replicas": 5}}, **WHERE)
    want((scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]), ("Scale", 5, 1))
    want([s["spec"]["eggs"] for s in api.list_namespaced_custom_object(**WHERE)["items"]], [5])
    want(len(api.list_cluster_custom_object("clients.orch.test", "v1", "snakes")["items"]), 1)
    want(api.delete_namespaced_custom_object(name="adder", **WHERE)["status"], "Success")
    refused(404, api.get_namespaced_custom_object, name="adder", **WHERE)


@check("a watch from a resourceVersion on")
def _():
    begin = core.list_namespaced_config_map(SPACE).metadata.resource_version
    core.create_namespaced_config_map(SPACE, config_map("w", a="1"))
    core.patch_namespaced_config_map("w", SPACE, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("w", SPACE)
    seen, revisions = [], []
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, SPACE, resource_version=begin, timeout_seconds=10):
        seen.append((event["type"], event["object"].data["a"]))
        revisions.append(int(event["object"].metadata.resource_version))
        if event["type"] == "DELETED":
            watcher.stop()
    want(seen, [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")])
    want(revisions, sorted(set(revisions)))


@check("a watch ends at its time limit, and another goes on where it was")
def _():
    watcher = watch.Watch()
    begin = datetime.datetime.now()
    first = list(watcher.stream(core.list_namespaced_config_map, SPACE, label_selector="made=python", timeout_seconds=1,
                                resource_version=core.list_namespaced_config_map(SPACE).metadata.resource_version, allow_watch_bookmarks=True))
    want([e for e in first if e["type"] != "BOOKMARK"], [])
    took = (datetime.datetime.now() - begin).total_seconds()
    want(0.9 < took < 4, True)
    core.create_namespaced_config_map(SPACE, config_map("later"))
    seen = []
    for event in watcher.stream(core.list_namespaced_config_map, SPACE, label_selector="made=python", resource_version=watcher.resource_version, timeout_seconds=5):
        seen.append((event["type"], event["object"].metadata.name))
        watcher.stop()
    want(seen, [("ADDED", "later")])


@check("a watch of custom objects, while they come")
def _():
    api, seen = client.CustomObjectsApi(), []
    threading.Timer(0.5, lambda: api.create_namespaced_custom_object(body=snake("boa", 300), **WHERE)).start()
    watcher = watch.Watch()
    for event in watcher.stream(api.list_namespaced_custom_object, **WHERE, timeout_seconds=10):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        watcher.stop()
    want(seen, [("ADDED", "boa")])


@check("a watch from a resourceVersion that is none")
def _():
    def follow():
        return list(watch.Watch().stream(core.list_namespaced_config_map, SPACE, resource_version="none", timeout_seconds=2))

    want("Invalid value" in refused(500, follow), True)  # Kubernetes answers so too


@check("an informer")
def _():
    from kubernetes.informer import ADDED, DELETED, SharedInformer

    seen = []
    informer = SharedInformer(core.list_namespaced_config_map, namespace=SPACE, label_selector="made=python")
    informer.add_event_handler(ADDED, lambda o: seen.append(("added", o.metadata.name)))
    informer.add_event_handler(DELETED, lambda o: seen.append(("deleted", o.metadata.name)))
    informer.start()
    try:
        eventually(10, lambda: ("added", "later") in seen)
        core.create_namespaced_config_map(SPACE, config_map("informed"))
        eventually(10, lambda: ("added", "informed") in seen)
        core.delete_namespaced_config_map("informed", SPACE)
        eventually(10, lambda: ("deleted", "informed") in seen)
        want([o.metadata.name for o in informer.cache.list()], ["later"])
    finally:
        informer.stop()


@check("the dynamic client: discovery, objects, apply, watch, refusals")
def _():
    dynamics = dynamic.DynamicClient(client.ApiClient())
    maps = dynamics.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    want(maps.create(body=body, namespace=SPACE).data.a, "1")
    want(maps.get(name="dynamic", namespace=SPACE).data.a, "1")
    want(maps.patch(body={"metadata": {"name": "dynamic"}, "data": {"a": "2"}}, namespace=SPACE, content_type="application/merge-patch+json").data.a, "2")
    body["data"] = {"a": "3"}
    want(maps.replace(body=body, namespace=SPACE).data.a, "3")
    applied = maps.server_side_apply(body=body | {"data": {"b": "1"}}, namespace=SPACE, field_manager="snake")
    want(dict(applied.data), {"a": "3", "b": "1"})
    seen = []
    for event in maps.watch(namespace=SPACE, name="dynamic", timeout=3):
        seen.append((event["type"], event["object"].data.a))
        break
    want(seen, [("ADDED", "3")])
    maps.delete(name="dynamic", namespace=SPACE)
    try:
        maps.get(name="dynamic", namespace=SPACE)
        raise AssertionError("still there")
    except NotFoundError:
        pass
    snakes = dynamics.resources.get(api_version="clients.orch.test/v1", kind="Snake")
    want([s.metadata.name for s in snakes.get(namespace=SPACE).items], ["boa"])
    want(snakes.status.patch(body={"metadata": {"name": "boa"}, "status": {"eggs": 4}}, namespace=SPACE, content_type="application/merge-patch+json").status.eggs, 4)
    want("Table", dynamics.resources.get(api_version="v1", kind="Node").get(header_params={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).kind)


@check("who one is, what one may, and a token")
def _():
    review = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    want("system:masters" in review.status.user_info.groups, True)
    access = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods", namespace=SPACE)))
    want(client.AuthorizationV1Api().create_self_subject_access_review(access).status.allowed, True)
    asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("default", SPACE, asked).status.token
    configuration = client.Configuration.get_default_copy()
    configuration.cert_file = configuration.key_file = None
    configuration.api_key = {"authorization": f"Bearer {token}"}
    account = client.ApiClient(configuration)
    review = client.AuthenticationV1Api(account).create_self_subject_review(client.V1SelfSubjectReview())
    want(review.status.user_info.username, f"system:serviceaccount:{SPACE}:default")
    want("cannot list resource" in refused(403, client.CoreV1Api(account).list_namespaced_secret, SPACE), True)
