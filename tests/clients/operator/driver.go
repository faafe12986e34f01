package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const patience = 60 * time.Second

// user creates, changes and deletes widgets one after the other, and waits for the operator after each change.
type user struct {
	client  client.Client
	records *records
	number  int
	widgets int
	changes int
}

// again repeats what fails for want of a server, or because somebody else was quicker.
func again(ctx context.Context, what string, try func() error) error {
	until := time.Now().Add(patience)
	for {
		err := try()
		var status apierrors.APIStatus
		if err == nil || ctx.Err() != nil {
			return err
		}
		if errors.As(err, &status) && status.Status().Code < 500 && !apierrors.IsTooManyRequests(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s, for %v: %w", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var errNotYet = apierrors.NewConflict(widgetVersion.WithResource("widgets").GroupResource(), "", errors.New("not yet"))

// dealtWith waits until the operator has dealt with the latest generation.
func (u *user) dealtWith(ctx context.Context, widget *Widget) error {
	return again(ctx, "waiting for the operator with "+widget.Name, func() error {
		err := u.client.Get(ctx, client.ObjectKeyFromObject(widget), widget)
		if err == nil && (widget.Status.ObservedGeneration != widget.Generation || widget.Status.Word != widget.Spec.Word) {
			return errNotYet
		}
		return err
	})
}

func (u *user) create(ctx context.Context, widget *Widget) error {
	err := again(ctx, "create", func() error {
		err := u.client.Create(ctx, widget)
		if apierrors.IsAlreadyExists(err) { // by us: the answer was lost
			return u.client.Get(ctx, client.ObjectKeyFromObject(widget), widget)
		}
		return err
	})
	if err == nil {
		u.records.acknowledged("Widget", widget)
	}
	return err
}

// change gives the widget another word, each time by another verb.
func (u *user) change(ctx context.Context, widget *Widget, word string) error {
	u.changes++
	turn := u.changes % 3
	err := again(ctx, fmt.Sprintf("change %d of %s", turn, widget.Name), func() error {
		switch turn {
		case 0:
			if err := u.client.Get(ctx, client.ObjectKeyFromObject(widget), widget); err != nil {
				return err
			}
			widget.Spec.Word = word
			return u.client.Update(ctx, widget)
		case 1:
			return u.client.Patch(ctx, widget, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"word":%q}}`, word)))
		default:
			applied := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"word": word, "shelf": widget.Spec.Shelf}}}
			applied.SetGroupVersionKind(widgetVersion.WithKind("Widget"))
			applied.SetNamespace(widget.Namespace)
			applied.SetName(widget.Name)
			if err := u.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.ForceOwnership, client.FieldOwner("user")); err != nil {
				return err
			}
			return u.client.Get(ctx, client.ObjectKeyFromObject(widget), widget)
		}
	})
	if err == nil {
		u.records.acknowledged("Widget", widget)
	}
	return err
}

// harm edits or deletes the ConfigMap of a widget; the operator has to make it good.
func (u *user) harm(ctx context.Context, widget *Widget) error {
	made := &corev1.ConfigMap{}
	key := client.ObjectKeyFromObject(widget)
	deleting := false
	err := again(ctx, "harm", func() error {
		if err := u.client.Get(ctx, key, made); deleting && apierrors.IsNotFound(err) {
			return nil // it happened, and the answer was lost with the server
		} else if err != nil {
			return err
		}
		if u.changes%2 == 0 {
			deleting = true
			return client.IgnoreNotFound(u.client.Delete(ctx, made, client.Preconditions{UID: &made.UID}))
		}
		made.Data = map[string]string{"harmed": "yes"}
		err := u.client.Update(ctx, made)
		if err == nil {
			u.records.acknowledged("ConfigMap", made)
		}
		return err
	})
	if err != nil {
		return err
	}
	return again(ctx, "waiting for a repair of "+widget.Name, func() error {
		if err := u.client.Get(ctx, key, made); apierrors.IsNotFound(err) {
			return errNotYet
		} else if err != nil {
			return err
		}
		if sameAsWanted(widget, made) != nil {
			return errNotYet
		}
		return nil
	})
}

func (u *user) remove(ctx context.Context, widget *Widget) error {
	err := again(ctx, "delete", func() error { return client.IgnoreNotFound(u.client.Delete(ctx, widget)) })
	if err != nil {
		return err
	}
	return again(ctx, "waiting for the end of "+widget.Name, func() error {
		if err := u.client.Get(ctx, client.ObjectKeyFromObject(widget), &Widget{}); err != nil {
			return client.IgnoreNotFound(err)
		}
		return errNotYet
	})
}

// live is the user's day: it ends after the widget that is under way when `over` is closed.
func (u *user) live(ctx context.Context, over <-chan struct{}) error {
	for {
		select {
		case <-over:
			return nil
		default:
		}
		u.widgets++
		widget := &Widget{ObjectMeta: metav1.ObjectMeta{Namespace: widgetSpace, Name: fmt.Sprintf("w-%d-%d", u.number, u.widgets)},
			Spec: WidgetSpec{Word: "first", Shelf: fmt.Sprint("s-", u.number)}}
		if err := u.create(ctx, widget); err != nil {
			return err
		}
		if err := u.dealtWith(ctx, widget); err != nil {
			return err
		}
		for i := range 3 {
			if err := u.change(ctx, widget, fmt.Sprint("word-", i)); err != nil {
				return err
			}
			if err := u.dealtWith(ctx, widget); err != nil {
				return err
			}
		}
		if err := u.harm(ctx, widget); err != nil {
			return err
		}
		if u.widgets%3 == 0 { // this one stays
			continue
		}
		if err := u.remove(ctx, widget); err != nil {
			return err
		}
	}
}
