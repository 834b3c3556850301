"""A REST stand-in of a Kubernetes API server on loopback, with controllers, nodes and a Gateway API data plane.

    async with KubeApi(namespaces=["ml"]) as api:
        client = AsyncClient(KubeConfig.from_dict(api.kubeconfig("ml")), field_manager="me", trust_env=False)
        …
        api.gateway_url                        # where an HTTPRoute is in force (`real.kubernetes.front`)

What a caller has beside the REST interface (all of it in the running event loop's time):

    api.url, api.gateway_url                   the API server; the data plane of all Gateways
    api.kubeconfig(namespace, user=…)          a kubeconfig as a dict; `write_kubeconfig(path, namespace, user=…)`: a file
    api.scripts.say(PodScript(...), labels=…)  what becomes of pods made from now on: ready after a while, never, crash-
                                               looping, no image, unschedulable (`fakes.kube_script`)
    api.crash(namespace, pod)                  a pod's container ends, and is started anew
    api.faults.order(Fault(Wrong.CONFLICT, verb="patch", resource="deployments", nth=2))     (`fakes.kube_faults`)
    api.faults.down(1.5)                       nobody is answered for so long
    api.compact()                              all watch history is forgotten: 410 for every older resource version
    api.audit                                  every request: user, verb, group, resource, subresource, namespace, name,
                                               code; `api.audit.asked()` is the set of (verb, group, resource)
    api.store                                  the objects themselves, for a test's own eyes: `store.get(kind, ns, name)`
    KubeApi(kubelet=AppKubelet(build))         a pod is a real server: `build(pod)` makes its aiohttp Application
    KubeApi(rbac=True)                         Roles and bindings are enforced; ``user="system:serviceaccount:NS:NAME"``
                                               is a service account, ``user="admin"`` may do anything

Kinds: those of `fakes.kube_kinds.KINDS`. A HorizontalPodAutoscaler is stored and does nothing. There are no admission
webhooks, no quotas, no scheduler beyond `PodScript`, and no CRD beside those of the Gateway API that are in the table.
It speaks the protocol (https://kubernetes.io/docs/reference/using-api/api-concepts/); it is not Kubernetes.
"""

from fakes.kube_faults import Fault, Faults, Wrong
from fakes.kube_script import Ill, Kubelet, Object, PodScript, Scripts

__all__ = ["Fault", "Faults", "Ill", "Kubelet", "Object", "PodScript", "Scripts", "Wrong"]
