package main

import "k8s.io/apimachinery/pkg/runtime/schema"

type objectCase struct {
	kind   schema.GroupVersionKind
	inputs []string
}

func kind(group, version, name string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: version, Kind: name}
}

var cases = []objectCase{
	{kind("", "v1", "Pod"), []string{
		`{"kind":"Pod","apiVersion":"v1"}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":null,"spec":null,"status":null}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","labels":{},"annotations":null,"finalizers":[],"creationTimestamp":null},"spec":{"containers":[]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"c","env":[{"name":"A","value":""}],"command":[],"stdin":false,"ports":[{"containerPort":80}]}],"nodeSelector":{},"terminationGracePeriodSeconds":0,"hostNetwork":false,"enableServiceLinks":false}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"0.5","memory":"1024Mi"},"limits":{"cpu":2,"memory":1000}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[null,{"name":null,"args":["a",null]}]}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"labels":{"a":null}},"spec":{"volumes":[{"name":"v","emptyDir":{}},{"name":"w","hostPath":{"path":"/x"}},{"name":"x","projected":{"sources":null}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"c","livenessProbe":{"httpGet":{"port":"http"},"periodSeconds":0}},{"name":"d","livenessProbe":{"tcpSocket":{"port":80}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"creationTimestamp":"2026-06-15T10:00:00+02:00","deletionTimestamp":"2026-06-15T10:00:00.999Z"}}`,
		`{"kind":"Pod","apiVersion":"v1","status":{"conditions":[{"type":"Ready","status":"True"}],"phase":"Running","podIPs":[{"ip":"10.0.0.1"}]}}`,
		`{"kind":"Pod","apiVersion":"v1","foo":1,"metadata":{"nam":"x"},"spec":{"containers":[{"name":"c","imag":"y"},{"env":[{"nam":1}]}],"nodeSelector":{"a":"b"}}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"nodeSelector":{"a":1}}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"resources":{"limits":{"cpu":true}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"resources":{"limits":"all"}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":{"name":"c"}}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":["c"]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"command":"sh"}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"command":["sh",1]}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"imagePullPolicy":[]}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"stdin":"yes"}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"livenessProbe":{"httpGet":{"port":99999999999}}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"volumes":[{"emptyDir":{"medium":1}}]}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"volumes":[{"emptyDir":[]}]}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"creationTimestamp":"yesterday"}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"creationTimestamp":5}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"labels":["a"]}}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":"x"}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"terminationGracePeriodSeconds":1.5}}`,
		`{"kind":"Pod","apiVersion":"v1","spec":{"terminationGracePeriodSeconds":"30"}}`,
	}},
	{kind("apps", "v1", "Deployment"), []string{
		`{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{"replicas":0,"selector":{},"template":{},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}}}}`,
		`{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":"3"}}`,
		`{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":3000000000}}`,
		`{"kind":"Deployment","apiVersion":"apps/v1","spec":{"template":{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}}}`,
		`{"kind":"Deployment","apiVersion":"apps/v1","spec":{"template":{"spec":{"containers":[{"securityContext":{"capabilities":{"add":[1]}}}]}}}}`,
		`{"kind":"Deployment","apiVersion":"apps/v1","spec":{"selector":{"matchExpressions":[{"key":"a","operator":"In"}]}},"status":{}}`,
	}},
	{kind("", "v1", "Secret"), []string{
		`{"kind":"Secret","apiVersion":"v1","data":{"a":"aGVsbG8=","b":""}}`,
		`{"kind":"Secret","apiVersion":"v1","data":{"a":"aGVs\nbG8="},"stringData":{"x":"y"},"immutable":false}`,
		`{"kind":"Secret","apiVersion":"v1","data":{"a":"hello world"}}`,
		`{"kind":"Secret","apiVersion":"v1","data":{"a":1}}`,
	}},
	{kind("", "v1", "Service"), []string{
		`{"kind":"Service","apiVersion":"v1","spec":{"ports":[{"port":80},{"port":81,"targetPort":"http"},{"port":82,"targetPort":8082}],"selector":{"a":"b"}}}`,
		`{"kind":"Service","apiVersion":"v1","spec":{"ports":[{"port":80,"targetPort":{}}]}}`,
	}},
	{kind("rbac.authorization.k8s.io", "v1", "ClusterRole"), []string{
		`{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","rules":[]}`,
		`{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","rules":[{"verbs":[],"apiGroups":[""],"resources":["pods"]}]}`,
	}},
	{kind("coordination.k8s.io", "v1", "Lease"), []string{
		`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","spec":{"renewTime":"2026-06-15T10:00:00.123456Z","acquireTime":"2026-06-15T12:00:00.000000+02:00"}}`,
		`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","spec":{"renewTime":"2026-06-15T10:00:00Z"}}`,
	}},
	{kind("authorization.k8s.io", "v1", "SubjectAccessReview"), []string{
		`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"u","groups":["g"],"extra":{"scopes":["a","b"],"none":[]}},"status":{"allowed":false}}`,
		`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"extra":{"scopes":"a"}}}`,
		`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"extra":{"scopes":[1]}}}`,
	}},
	{kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), []string{
		`{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{"group":"example.com","names":{"plural":"widgets","kind":"Widget"},"scope":"Namespaced","versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","additionalProperties":{"type":"string"},"properties":{"n":{"type":"integer","default":3,"minimum":1,"maximum":2.5,"enum":[1,"x",null]},"l":{"type":"array","items":{"type":"string"}},"t":{"items":[{"type":"string"}]}}},"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"additionalProperties":false}},"dependencies":{"a":["b"],"c":{"type":"string"}}}}}]}}`,
		`{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{"versions":[{"schema":{"openAPIV3Schema":{"additionalProperties":"yes"}}}]}}`,
		`{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{"versions":[{"schema":{"openAPIV3Schema":{"typ":"object","items":{"typ":1},"maximum":1.0}}}]}}`,
	}},
	{kind("", "v1", "List"), []string{
		`{"kind":"List","apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","spec":{"x":null}}]}`,
		`{"kind":"List","apiVersion":"v1"}`,
	}},
	{kind("", "v1", "Event"), []string{
		`{"kind":"Event","apiVersion":"v1","involvedObject":{},"firstTimestamp":null,"count":0,"lastTimestamp":"2026-01-01T00:00:00Z"}`,
	}},
	{kind("", "v1", "ReplicationController"), []string{
		`{"kind":"ReplicationController","apiVersion":"v1","spec":{"template":{"spec":{"containers":[{"name":"c"}]}}}}`,
	}},
	{kind("apps", "v1", "ControllerRevision"), []string{
		`{"kind":"ControllerRevision","apiVersion":"apps/v1","data":null,"revision":0}`,
		`{"kind":"ControllerRevision","apiVersion":"apps/v1","data":{"a":[1,2.5,"x",null,true]},"revision":-1}`,
	}},
	{kind("autoscaling", "v2", "HorizontalPodAutoscaler"), []string{
		`{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2","spec":{"maxReplicas":3,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Value","value":"1500m"}}}]},"status":{"currentMetrics":[]}}`,
	}},
}
