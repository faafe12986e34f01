package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	widgetSpace = "widgets"
	outside     = "outside"
	finalizer   = "clients.orch.test/outside"
	leaseName   = "widget-operator"
)

// reconciler is the operator: it knows nothing of restarts, and notes what it has done.
type reconciler struct {
	client.Client
	identity string
	records  *records
}

// wantedData is what the ConfigMap of a widget says.
func wantedData(w *Widget) map[string]string {
	return map[string]string{"word": w.Spec.Word, "range": fmt.Sprintf("%d-%d", w.Spec.Low, w.Spec.High),
		"generation": strconv.FormatInt(w.Generation, 10)}
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	widget := &Widget{}
	if err := r.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: outside, Name: string(widget.UID)}}
	if !widget.DeletionTimestamp.IsZero() {
		if !controllerutil.ContainsFinalizer(widget, finalizer) {
			return ctrl.Result{}, nil
		}
		if err := client.IgnoreNotFound(r.Delete(ctx, secret)); err != nil {
			return ctrl.Result{}, err
		}
		r.records.reconciled(r.identity, widget)
		controllerutil.RemoveFinalizer(widget, finalizer)
		return ctrl.Result{}, client.IgnoreNotFound(r.Update(ctx, widget))
	}
	if controllerutil.AddFinalizer(widget, finalizer) {
		if err := r.Update(ctx, widget); err != nil {
			return ctrl.Result{}, err
		}
		r.records.acknowledged("Widget", widget)
	}
	if err := r.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, err
	}
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: widget.Namespace, Name: widget.Name}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, made, func() error {
		made.Data = wantedData(widget)
		return controllerutil.SetControllerReference(widget, made, r.Scheme())
	}); err != nil {
		return ctrl.Result{}, err
	}
	r.records.acknowledged("ConfigMap", made)
	// Before the status tells of it: an answer may be lost, and then the next generation is there.
	r.records.reconciled(r.identity, widget)
	if widget.Status.ObservedGeneration != widget.Generation {
		widget.Status = WidgetStatus{ObservedGeneration: widget.Generation, Word: widget.Spec.Word}
		if err := r.Status().Update(ctx, widget); err != nil {
			return ctrl.Result{}, err
		}
		r.records.acknowledged("Widget", widget)
	}
	return ctrl.Result{}, nil
}

// newManager makes one of the operator's processes, as far as the server can tell.
func newManager(base *rest.Config, identity string, records *records) (ctrl.Manager, error) {
	own := rest.CopyConfig(base)
	own.UserAgent = identity
	lease, renew, retry := 60*time.Second, 40*time.Second, time.Second
	skip := true
	manager, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
		LeaderElection: true, LeaderElectionID: leaseName, LeaderElectionNamespace: widgetSpace, LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
	})
	if err != nil {
		return nil, err
	}
	for kind, object := range map[string]client.Object{"Widget": &Widget{}, "ConfigMap": &corev1.ConfigMap{}} {
		informer, err := manager.GetCache().GetInformer(context.Background(), object)
		if err != nil {
			return nil, err
		}
		note := func(object any) { records.informed(identity, kind, object) }
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: note, DeleteFunc: note, UpdateFunc: func(_, object any) { note(object) },
		}); err != nil {
			return nil, err
		}
	}
	return manager, ctrl.NewControllerManagedBy(manager).For(&Widget{}).Owns(&corev1.ConfigMap{}).
		Complete(&reconciler{Client: manager.GetClient(), identity: identity, records: records})
}

// sameAsWanted says what is wrong with the ConfigMap of a widget.
func sameAsWanted(w *Widget, made *corev1.ConfigMap) error {
	if !maps.Equal(made.Data, wantedData(w)) {
		return fmt.Errorf("%s: %v instead of %v", w.Name, made.Data, wantedData(w))
	}
	if !metav1.IsControlledBy(made, w) {
		return fmt.Errorf("%s: owned by %v", w.Name, made.OwnerReferences)
	}
	return nil
}
