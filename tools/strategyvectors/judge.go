package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/capabilities"
	_ "k8s.io/kubernetes/pkg/controlplane"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/resolver"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
)

type strategies struct {
	create rest.RESTCreateStrategy
	update rest.RESTUpdateStrategy
	sub    map[string]rest.RESTUpdateStrategy
}

func status(s rest.RESTUpdateStrategy) map[string]rest.RESTUpdateStrategy {
	return map[string]rest.RESTUpdateStrategy{"status": s}
}

var byKind = map[string]strategies{
	"Pod": {pod.Strategy, pod.Strategy, map[string]rest.RESTUpdateStrategy{
		"status": pod.StatusStrategy, "ephemeralcontainers": pod.EphemeralContainersStrategy, "resize": pod.ResizeStrategy}},
	"PodTemplate": {podtemplate.Strategy, podtemplate.Strategy, nil},
	"Service":     {service.Strategy, service.Strategy, status(service.StatusStrategy)},
	"Endpoints":   {endpoint.Strategy, endpoint.Strategy, nil},
	"Namespace": {namespace.Strategy, namespace.Strategy, map[string]rest.RESTUpdateStrategy{
		"status": namespace.StatusStrategy, "finalize": namespace.FinalizeStrategy}},
	"Node":                  {node.Strategy, node.Strategy, status(node.StatusStrategy)},
	"ConfigMap":             {configmap.Strategy, configmap.Strategy, nil},
	"Secret":                {secret.Strategy, secret.Strategy, nil},
	"ServiceAccount":        {serviceaccount.Strategy, serviceaccount.Strategy, nil},
	"Event":                 {event.Strategy, event.Strategy, nil},
	"LimitRange":            {limitrange.Strategy, limitrange.Strategy, nil},
	"ResourceQuota":         {resourcequota.Strategy, resourcequota.Strategy, status(resourcequota.StatusStrategy)},
	"ReplicationController": {replicationcontroller.Strategy, replicationcontroller.Strategy, status(replicationcontroller.StatusStrategy)},
	"PersistentVolume":      {persistentvolume.Strategy, persistentvolume.Strategy, status(persistentvolume.StatusStrategy)},
	"PersistentVolumeClaim": {persistentvolumeclaim.Strategy, persistentvolumeclaim.Strategy, status(persistentvolumeclaim.StatusStrategy)},

	"EndpointSlice": {endpointslice.Strategy, endpointslice.Strategy, nil},
	"Lease":         {lease.Strategy, lease.Strategy, nil},

	"Deployment":         {deployment.Strategy, deployment.Strategy, status(deployment.StatusStrategy)},
	"ReplicaSet":         {replicaset.Strategy, replicaset.Strategy, status(replicaset.StatusStrategy)},
	"DaemonSet":          {daemonset.Strategy, daemonset.Strategy, status(daemonset.StatusStrategy)},
	"StatefulSet":        {statefulset.Strategy, statefulset.Strategy, status(statefulset.StatusStrategy)},
	"ControllerRevision": {controllerrevision.Strategy, controllerrevision.Strategy, nil},

	"Role":               {role.Strategy, role.Strategy, nil},
	"ClusterRole":        {clusterrole.Strategy, clusterrole.Strategy, nil},
	"RoleBinding":        {rolebinding.Strategy, rolebinding.Strategy, nil},
	"ClusterRoleBinding": {clusterrolebinding.Strategy, clusterrolebinding.Strategy, nil},

	"Job":                     {job.Strategy, job.Strategy, status(job.StatusStrategy)},
	"CronJob":                 {cronjob.Strategy, cronjob.Strategy, status(cronjob.StatusStrategy)},
	"HorizontalPodAutoscaler": {horizontalpodautoscaler.Strategy, horizontalpodautoscaler.Strategy, status(horizontalpodautoscaler.StatusStrategy)},
	"PodDisruptionBudget":     {poddisruptionbudget.Strategy, poddisruptionbudget.Strategy, status(poddisruptionbudget.StatusStrategy)},
	"Ingress":                 {ingress.Strategy, ingress.Strategy, status(ingress.StatusStrategy)},
	"IngressClass":            {ingressclass.Strategy, ingressclass.Strategy, nil},
	"NetworkPolicy":           {networkpolicy.Strategy, networkpolicy.Strategy, nil},
	"IPAddress":               {ipaddress.Strategy, ipaddress.Strategy, nil},
	"ServiceCIDR":             {servicecidr.Strategy, servicecidr.Strategy, status(servicecidr.StatusStrategy)},

	"StorageClass":          {storageclass.Strategy, storageclass.Strategy, nil},
	"CSIDriver":             {csidriver.Strategy, csidriver.Strategy, nil},
	"CSINode":               {csinode.Strategy, csinode.Strategy, nil},
	"CSIStorageCapacity":    {csistoragecapacity.Strategy, csistoragecapacity.Strategy, nil},
	"VolumeAttachment":      {volumeattachment.Strategy, volumeattachment.Strategy, status(volumeattachment.StatusStrategy)},
	"VolumeAttributesClass": {volumeattributesclass.Strategy, volumeattributesclass.Strategy, nil},

	"DeviceClass":   {deviceclass.Strategy, deviceclass.Strategy, nil},
	"ResourceSlice": {resourceslice.Strategy, resourceslice.Strategy, nil},

	"PriorityClass": {priorityclass.Strategy, priorityclass.Strategy, nil},
	"RuntimeClass":  {runtimeclass.Strategy, runtimeclass.Strategy, nil},
	"CertificateSigningRequest": {certificates.Strategy, certificates.Strategy, map[string]rest.RESTUpdateStrategy{
		"status": certificates.StatusStrategy, "approval": certificates.ApprovalStrategy}},
	"MutatingWebhookConfiguration":   {mutatingwebhookconfiguration.Strategy, mutatingwebhookconfiguration.Strategy, nil},
	"ValidatingWebhookConfiguration": {validatingwebhookconfiguration.Strategy, validatingwebhookconfiguration.Strategy, nil},
	"FlowSchema":                     {flowschema.Strategy, flowschema.Strategy, status(flowschema.StatusStrategy)},
	"PriorityLevelConfiguration":     {prioritylevelconfiguration.Strategy, prioritylevelconfiguration.Strategy, status(prioritylevelconfiguration.StatusStrategy)},
}

func init() {
	// As every cluster runs it.
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	vap := validatingadmissionpolicy.NewStrategy(nil, nil)
	byKind["ValidatingAdmissionPolicy"] = strategies{vap, vap, status(validatingadmissionpolicy.NewStatusStrategy(vap))}
	// Nobody is asked whether they may read params, but the strategy wants somebody who knows their kind.
	binding := validatingadmissionpolicybinding.NewStrategy(nil, nil, resolver.ResourceResolverFunc(
		func(gvk schema.GroupVersionKind) (schema.GroupVersionResource, error) {
			return schema.GroupVersionResource{}, nil
		}))
	byKind["ValidatingAdmissionPolicyBinding"] = strategies{binding, binding, nil}
	// Without somebody who knows namespaces: no case may ask for adminAccess.
	claim := resourceclaim.NewStrategy(nil)
	byKind["ResourceClaim"] = strategies{claim, claim, status(resourceclaim.NewStatusStrategy(claim))}
	template := resourceclaimtemplate.NewStrategy(nil)
	byKind["ResourceClaimTemplate"] = strategies{template, template, nil}
}

type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }

func decode(object any) (runtime.Object, schema.GroupVersionKind, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, schema.GroupVersionKind{}, err
	}
	decoded, gvk, err := legacyscheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, schema.GroupVersionKind{}, err
	}
	return decoded, *gvk, nil
}

func texts(errs field.ErrorList) []string {
	seen := map[string]bool{}
	var out []string
	for _, err := range errs {
		if text := err.Error(); !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	sort.Strings(out)
	return out
}

func cells(object runtime.Object) []any {
	generator := printers.NewTableGenerator().With(printersinternal.AddHandlers)
	table, err := generator.GenerateTable(object, printers.GenerateOptions{Wide: true})
	if err != nil || len(table.Rows) == 0 {
		return nil
	}
	return table.Rows[0].Cells
}

// judge runs a create (old is nil), an update, or an update through a subresource.
func judge(object, old any, subresource string) (Expected, error) {
	obj, gvk, err := decode(object)
	if err != nil {
		return Expected{Decode: err.Error()}, nil
	}
	s, ok := byKind[gvk.Kind]
	if !ok {
		return Expected{}, fmt.Errorf("no strategy for %v", gvk)
	}
	record := &recorder{}
	ctx := genericapirequest.WithRequestInfo(context.Background(), &genericapirequest.RequestInfo{
		IsResourceRequest: true, APIGroup: gvk.Group, APIVersion: gvk.Version, Subresource: subresource})
	ctx = genericapirequest.WithNamespace(ctx, "default")
	ctx = warning.WithWarningRecorder(ctx, record)
	var e Expected
	if old == nil {
		s.create.PrepareForCreate(ctx, obj)
		e.Errors = texts(s.create.Validate(ctx, obj))
		if len(e.Errors) == 0 {
			e.Warnings = s.create.WarningsOnCreate(ctx, obj)
			s.create.Canonicalize(obj)
		}
	} else {
		before, _, err := decode(old)
		if err != nil {
			return Expected{Decode: "old: " + err.Error()}, nil
		}
		update := s.update
		if subresource != "" {
			if update = s.sub[subresource]; update == nil {
				return Expected{}, fmt.Errorf("%s has no %s", gvk.Kind, subresource)
			}
		}
		update.PrepareForUpdate(ctx, obj, before)
		e.Errors = texts(update.ValidateUpdate(ctx, obj, before))
		if len(e.Errors) == 0 {
			e.Warnings = update.WarningsOnUpdate(ctx, obj, before)
			update.Canonicalize(obj)
		}
	}
	e.Warnings = append(e.Warnings, record.texts...)
	sort.Strings(e.Warnings)
	if len(e.Errors) > 0 {
		e.Warnings = nil
		return e, nil
	}
	e.Cells = cells(obj)
	info, _ := runtime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), "application/json")
	encoder := legacyscheme.Codecs.EncoderForVersion(info.Serializer, gvk.GroupVersion())
	e.Object, err = runtime.Encode(encoder, obj)
	return e, err
}
