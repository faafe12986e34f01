#include "cli/parse.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/file.h"
#include "base/version.h"
#include "cli/secrets_encrypt.h"

namespace orch::cli {

namespace {

std::string env_name(const std::string& flag) {
  std::string out = "ORCH_";
  for (char c : flag) out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

/// Every long option can also come from the environment.
void allow_environment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) {
      if (name != "help" && name != "version") option->envname(env_name(name));
    }
  }
}

void add_common(CLI::App& app, Options& o) {
  app.add_option("-c,--config", o.config_file, "YAML configuration file: one key per flag")
      ->capture_default_str();
  app.add_option("-d,--data-dir", o.data_dir, "Folder for all state")->capture_default_str();
  app.add_flag("--debug", o.debug, "Log more");
  app.add_option("-t,--token", o.token, "Secret with which nodes join");
  app.add_option("--token-file", o.token_file, "File with that secret");
  app.add_option("--node-name", o.node.node_name, "Name of this node (default: the host's name)");
  app.add_option("--node-ip", o.node.node_ips, "Addresses of this node (default: the machine's)")
      ->delimiter(',');
  app.add_option("--node-label", o.node.node_labels, "Labels the node registers with, KEY=VALUE")
      ->delimiter(',');
  app.add_option("--node-taint", o.node.node_taints, "Taints the node registers with, KEY=VALUE:EFFECT")
      ->delimiter(',');
  app.add_option("--container-runtime-endpoint", o.node.container_runtime_endpoint,
                 "CRI socket to use (default: containerd started by orch)");
  app.add_option("--resolv-conf", o.node.resolv_conf, "The host's resolver configuration")
      ->capture_default_str();
  app.add_option("--kubelet-port", o.node.kubelet_port, "Port of the node's own server")
      ->capture_default_str();
}

void add_server(CLI::App& app, Options& o) {
  server::ServerConfig& s = o.server;
  app.add_option("--bind-address", s.bind_address, "Address to listen on")->capture_default_str();
  app.add_option("--https-listen-port", s.https_listen_port, "Port of the API")->capture_default_str();
  app.add_option("--advertise-address", s.advertise_address,
                 "Address under which members reach the API (default: the node's)");
  app.add_option("--tls-san", s.tls_san, "More names and addresses in the serving certificate")
      ->delimiter(',');
  app.add_option("-o,--write-kubeconfig", s.write_kubeconfig, "Where to write the admin kubeconfig")
      ->capture_default_str();
  app.add_option("--write-kubeconfig-mode", o.kubeconfig_mode, "Its mode")->capture_default_str();
  app.add_option("--cluster-cidr", s.cluster_cidr, "Addresses of pods")->capture_default_str();
  app.add_option("--service-cidr", s.service_cidr, "Addresses of services")->capture_default_str();
  app.add_option("--service-node-port-range", s.service_node_port_range, "Node ports of services")
      ->capture_default_str();
  app.add_option("--cluster-dns", s.cluster_dns,
                 "Address of the DNS service (default: the tenth of --service-cidr)");
  app.add_option("--cluster-domain", s.cluster_domain, "Domain of the cluster")->capture_default_str();
  app.add_option("--cluster-signing-duration", o.cluster_signing_duration,
                 "Lifetime of the certificates that nodes are given")
      ->capture_default_str();
  app.add_option("--node-monitor-grace-period", o.node_monitor_grace_period,
                 "How long a node may be silent before it counts as lost")
      ->capture_default_str();
  app.add_option("--default-not-ready-toleration-seconds", s.default_not_ready_toleration_seconds,
                 "How long pods stay on a node that is not ready, unless they say otherwise")
      ->capture_default_str();
  app.add_option("--default-unreachable-toleration-seconds", s.default_unreachable_toleration_seconds,
                 "How long pods stay on a lost node, unless they say otherwise")
      ->capture_default_str();
  app.add_option("--kube-controller-manager-arg", o.controller_manager_args,
                 "Flag of kube-controller-manager, NAME=VALUE, several times if wanted: controllers=*,-job,\n"
                 "concurrent-…-syncs, horizontal-pod-autoscaler-…, node-monitor-grace-period,\n"
                 "node-eviction-rate, secondary-node-eviction-rate, unhealthy-zone-threshold,\n"
                 "large-cluster-size-threshold, terminated-pod-gc-threshold,\n"
                 "legacy-service-account-token-clean-up-period");
  app.add_flag("--disable-agent", o.disable_agent, "Control plane only: this machine is no node");
  app.add_option("--scheduler-strategy", s.scheduler_strategy,
                 "LeastAllocated spreads pods over the nodes, MostAllocated fills one after the other")
      ->capture_default_str()
      ->check(CLI::IsMember({"LeastAllocated", "MostAllocated"}));
  app.add_option("--kube-apiserver-arg", o.kube_apiserver_args,
                 "An argument of kube-apiserver, NAME=VALUE; may be repeated (docs/apiserver-arguments.md)")
      ->allow_extra_args(false);
  app.add_flag("--secrets-encryption", s.secrets_encryption,
               "Encrypt Secrets on disk, with a key under the data folder");
  app.add_option("--kube-scheduler-arg", o.scheduler_args,
                 "Flag of kube-scheduler, NAME=VALUE; config=FILE names a KubeSchedulerConfiguration");
  app.add_flag("--disable-scheduler", s.disable_scheduler, "Run no scheduler");
  app.add_flag("--disable-controller-manager", s.disable_controller_manager, "Run no controllers");
}

/// Values of a configuration file as flags, for what the command line and the environment left unset.
base::Status read_config(CLI::App& app, const std::string& path, bool must_exist) {
  auto text = base::read_file(path);
  if (!text.ok()) {
    if (text.error().code() == base::Code::kNotFound && !must_exist) return {};
    return base::Status(base::Code::kBadRequest, base::cat("--config ", path, ": ", text.error().message()));
  }
  try {
    YAML::Node root = YAML::Load(*text);
    if (root.IsNull()) return {};
    if (!root.IsMap()) return base::Status(base::Code::kBadRequest, base::cat(path, ": not a map of flags"));
    for (const auto& entry : root) {
      const std::string key = entry.first.as<std::string>();
      CLI::Option* option = app.get_option_no_throw("--" + key);
      if (option == nullptr)
        return base::Status(base::Code::kBadRequest, base::cat(path, ": unknown key \"", key, "\""));
      if (option->count() > 0) continue;
      if (entry.second.IsSequence()) {
        for (const auto& v : entry.second) option->add_result(v.as<std::string>());
      } else {
        option->add_result(entry.second.as<std::string>());
      }
      option->run_callback();
    }
  } catch (const std::exception& e) {
    return base::Status(base::Code::kBadRequest, base::cat(path, ": ", e.what()));
  }
  return {};
}

int fail(const std::string& why) {
  std::fprintf(stderr, "orch: %s\n", why.c_str());
  return 1;
}

}  // namespace

Parsed parse(int argc, char** argv) {
  Parsed out;
  CLI::App app("orch: Kubernetes in one small executable");
  app.set_version_flag("-v,--version", base::cat("orch ", base::version()));
  app.require_subcommand(0, 1);
  CLI::App* server = app.add_subcommand("server", "Run the control plane, and a node in the same process");
  CLI::App* agent = app.add_subcommand("agent", "Run a node of an existing cluster");
  CLI::App* version = app.add_subcommand("version", "Print the version");
  SecretsEncryptOptions encrypt;
  CLI::App* secrets =
      app.add_subcommand("secrets-encrypt", "Look at the encryption of Secrets on disk, or change its key");
  secrets->add_option("action", encrypt.action, "status, rotate-keys or reencrypt")
      ->required()
      ->check(CLI::IsMember({"status", "rotate-keys", "reencrypt"}));
  secrets->add_option("-d,--data-dir", encrypt.data_dir, "Folder of the server")->capture_default_str();
  secrets->add_option("-s,--server", encrypt.server, "URL of the server")->capture_default_str();
  for (CLI::App* command : {server, agent}) add_common(*command, out.options);
  add_server(*server, out.options);
  agent->add_option("-s,--server", out.options.server_url, "URL of the server, https://HOST:6443");
  for (CLI::App* command : {server, agent}) allow_environment(*command);
  try {
    app.parse(argc, argv);
    CLI::App* used = server->parsed() ? server : agent->parsed() ? agent : nullptr;
    if (version->parsed()) {
      std::printf("orch %s\n", std::string(base::version()).c_str());
      return out;
    }
    if (secrets->parsed()) {
      out.exit_code = secrets_encrypt(encrypt);
      return out;
    }
    if (used == nullptr) {
      std::fputs(app.help().c_str(), stdout);
      return out;
    }
    base::Status config =
        read_config(*used, out.options.config_file, used->get_option("--config")->count() > 0);
    if (!config.ok()) {
      out.exit_code = fail(config.message());
      return out;
    }
    const Command command = used == server ? Command::kServer : Command::kAgent;
    base::Status checked = check(command, out.options);
    if (!checked.ok()) {
      out.exit_code = fail(checked.message());
      return out;
    }
    out.command = command;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      app.exit(e);  // help and version
    } else {
      out.exit_code = fail(e.what());
    }
  }
  return out;
}

}  // namespace orch::cli
