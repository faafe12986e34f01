package main

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func accessChecks(config *rest.Config, client *kubernetes.Clientset) {
	check("a token of a service account", func(ctx context.Context) error {
		accounts := client.CoreV1().ServiceAccounts("default")
		if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "clientgo"}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		seconds := int64(600)
		token, err := accounts.CreateToken(ctx, "clientgo", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		left := time.Until(token.Status.ExpirationTimestamp.Time)
		if err := want(left > 9*time.Minute && left < 11*time.Minute, "it lasts %v", left); err != nil {
			return err
		}
		anonymous := rest.AnonymousClientConfig(config)
		anonymous.BearerToken = token.Status.Token
		account := kubernetes.NewForConfigOrDie(anonymous)
		self, err := account.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		const name = "system:serviceaccount:default:clientgo"
		review, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, refused := account.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
		if err := first(want(self.Status.UserInfo.Username == name, "%v", self.Status), want(review.Status.Authenticated && review.Status.User.Username == name, "%v", review.Status),
			want(apierrors.IsForbidden(refused), "%v", refused)); err != nil {
			return err
		}
		// What a binding allows is allowed from then on.
		if _, err := client.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "clientgo"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "clientgo", Namespace: "default"}}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		if err := soon(ctx, "secrets are listed", func() bool {
			_, err := account.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
			return err == nil
		}); err != nil {
			return err
		}
		if err := accounts.Delete(ctx, "clientgo", metav1.DeleteOptions{}); err != nil {
			return err
		}
		return soon(ctx, "the token ends with its account", func() bool {
			_, err := account.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
			return apierrors.IsUnauthorized(err)
		})
	})
	check("access reviews", func(ctx context.Context) error {
		own, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "delete", Resource: "nodes"}}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		other, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: "nobody", ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "delete", Resource: "nodes"}}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		rules, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}}, metav1.CreateOptions{})
		return first(err, want(own.Status.Allowed, "not allowed: %v", own.Status), want(!other.Status.Allowed, "allowed: %v", other.Status), want(rules != nil, "no rules"))
	})
	check("impersonation", func(ctx context.Context) error {
		as := rest.CopyConfig(config)
		as.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"devs"}, Extra: map[string][]string{"scope": {"a"}}}
		self, err := kubernetes.NewForConfigOrDie(as).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, refused := kubernetes.NewForConfigOrDie(as).CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return first(want(self.Status.UserInfo.Username == "jane" && fmt.Sprint(self.Status.UserInfo.Extra) == "map[scope:[a]]", "%v", self.Status),
			want(apierrors.IsForbidden(refused), "%v", refused))
	})
}
