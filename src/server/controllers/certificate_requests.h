// CertificateSigningRequests: approving those of kubelets, signing what is approved for Kubernetes' own
// signers, and clearing away what is old.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "pki/pki.h"
#include "server/auth/auth.h"
#include "server/controllers/controller.h"

namespace orch::server {

struct CertificateSigning {
  pki::KeyPair client_ca;  // signs kube-apiserver-client and kube-apiserver-client-kubelet
  pki::KeyPair server_ca;  // signs kubelet-serving and, as with k3s, legacy-unknown
  /// The longest life; requests may ask for less.
  std::chrono::seconds duration = std::chrono::hours(24 * 365);
};

/// As kube-controller-manager's csrapproving: a client certificate that a node asks for itself, or that
/// somebody asks for a node, is approved if its requester may create
/// certificatesigningrequests/selfnodeclient or /nodeclient, which `may` tells. All others wait for a person.
Controller make_csr_approving_controller(std::function<bool(const Attributes&)> may);

/// As csrsigning: approved requests for kubernetes.io/kube-apiserver-client, -client-kubelet, kubelet-serving
/// and legacy-unknown get their certificate; one that breaks its signer's rules gets the condition Failed.
Controller make_csr_signing_controller(CertificateSigning signing);

/// As csrcleaner: an hour after a decision, a day after being asked for or approved in vain, or when the
/// certificate has expired.
Controller make_csr_cleaner_controller();

/// Why an approved request cannot have what its signer signs, in Kubernetes' words; empty when it can.
std::string signer_problem(std::string_view signer, const pki::CertificateInfo& request, const Json& usages);

}  // namespace orch::server
