#include "agent/proxy/nft_table.h"

#include "base/status.h"

namespace orch::agent {
namespace {

using base::cat;

std::string element_text(const std::string& key, const std::string& value) {
  return value.empty() ? key : cat(key, " : ", value);
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) {
    if (!out.empty()) out += ", ";
    out += part;
  }
  return out;
}

/// Commands of one transaction, in the order in which nft must see them.
struct Commands {
  std::string table;  // "ip orch-proxy"
  std::string declare, flush, remove, add, rules, cleanup;

  void declare_set(const std::string& name, const NftSet& set) {
    declare += cat("add ", set.is_map ? "map " : "set ", table, " ", name, " { ", set.declaration, " }\n");
  }
  void declare_chain(const std::string& name, const NftChain& chain) {
    declare += cat("add chain ", table, " ", name);
    if (!chain.comment.empty()) declare += cat(" { comment \"", chain.comment, "\"; }");
    declare += "\n";
  }
  void add_rules(const std::string& name, const NftChain& chain) {
    for (const auto& rule : chain.rules) rules += cat("add rule ", table, " ", name, " ", rule, "\n");
  }
  void remove_elements(const std::string& set, const std::vector<std::string>& elements) {
    if (!elements.empty()) remove += cat("delete element ", table, " ", set, " { ", join(elements), " }\n");
  }
  void add_elements(const std::string& set, const std::vector<std::string>& elements) {
    if (!elements.empty()) add += cat("add element ", table, " ", set, " { ", join(elements), " }\n");
  }
  void change_elements(const std::string& set, const NftElements& before, const NftElements& after) {
    std::vector<std::string> gone;
    std::vector<std::string> come;
    for (const auto& [key, value] : before) {
      const auto it = after.find(key);
      if (it == after.end() || it->second != value) gone.push_back(key);
    }
    for (const auto& [key, value] : after) {
      const auto it = before.find(key);
      if (it == before.end() || it->second != value) come.push_back(element_text(key, value));
    }
    remove_elements(set, gone);
    add_elements(set, come);
  }
};

void change_sets(Commands& out, const NftPiece& before, const NftPiece& after) {
  for (const auto& [name, set] : after.sets) {
    const auto old = before.sets.find(name);
    if (old == before.sets.end()) out.declare_set(name, set);
    out.change_elements(name, old == before.sets.end() ? NftElements() : old->second.elements, set.elements);
  }
}

void change_chains(Commands& out, const NftPiece& before, const NftPiece& after) {
  for (const auto& [name, chain] : after.chains) {
    const auto old = before.chains.find(name);
    if (old == before.chains.end()) {
      out.declare_chain(name, chain);
    } else if (old->second.rules == chain.rules) {
      continue;
    } else {
      out.flush += cat("flush chain ", out.table, " ", name, "\n");
    }
    out.add_rules(name, chain);
  }
}

void remove_stale(Commands& out, const NftPiece& before, const NftPiece& after) {
  for (const auto& [name, chain] : before.chains) {
    if (after.chains.count(name) != 0) continue;
    out.flush += cat("flush chain ", out.table, " ", name, "\n");
    out.cleanup += cat("delete chain ", out.table, " ", name, "\n");
  }
  for (const auto& [name, set] : before.sets) {
    if (after.sets.count(name) != 0) continue;
    out.cleanup += cat("delete ", set.is_map ? "map " : "set ", out.table, " ", name, "\n");
  }
}

}  // namespace

std::pair<bool, std::string> NftTable::effective(const SharedKey& key) const {
  const auto it = claims_.find(key);
  if (it == claims_.end() || it->second.empty()) return {false, {}};
  return {true, it->second.begin()->second};
}

const NftPiece* NftTable::find(const std::string& owner) const {
  const auto it = pieces_.find(owner);
  return it == pieces_.end() ? nullptr : &it->second;
}

void NftTable::set(const std::string& owner, NftPiece piece) {
  const auto it = pieces_.find(owner);
  NftPiece before = it == pieces_.end() ? NftPiece() : it->second;
  if (before == piece) return;
  for (const auto& [set, elements] : before.shared) {
    for (const auto& [key, value] : elements) {
      const SharedKey shared(set, key);
      changed_keys_.try_emplace(shared, effective(shared));
      auto& owners = claims_[shared];
      owners.erase(owner);
      if (owners.empty()) claims_.erase(shared);
    }
  }
  for (const auto& [set, elements] : piece.shared) {
    for (const auto& [key, value] : elements) {
      const SharedKey shared(set, key);
      changed_keys_.try_emplace(shared, effective(shared));
      claims_[shared][owner] = value;
    }
  }
  changed_owners_.try_emplace(owner, std::move(before));
  if (piece.empty()) {
    pieces_.erase(owner);
  } else {
    pieces_[owner] = std::move(piece);
  }
}

NftChange NftTable::take() {
  Commands out;
  out.table = cat(family_, " ", name_);
  std::map<std::string, std::pair<std::vector<std::string>, std::vector<std::string>>> shared;
  for (const auto& [key, before] : changed_keys_) {
    const auto now = effective(key);
    if (now == before) continue;
    if (before.first) shared[key.first].first.push_back(key.second);
    if (now.first) shared[key.first].second.push_back(element_text(key.second, now.second));
  }
  for (const auto& [set, changes] : shared) {
    out.remove_elements(set, changes.first);
    out.add_elements(set, changes.second);
  }
  const NftPiece none;
  for (const auto& [owner, before] : changed_owners_) {
    const NftPiece* now = find(owner);
    const NftPiece& after = now != nullptr ? *now : none;
    change_sets(out, before, after);
    change_chains(out, before, after);
    remove_stale(out, before, after);
  }
  changed_keys_.clear();
  changed_owners_.clear();
  // Rules come before elements: a goto to a chain is checked against what the chain then holds.
  return {out.declare + out.flush + out.remove + out.rules + out.add, out.cleanup};
}

std::string NftTable::full() {
  changed_keys_.clear();
  changed_owners_.clear();
  Commands out;
  out.table = cat(family_, " ", name_);
  std::map<std::string, std::vector<std::string>> shared;
  for (const auto& [key, owners] : claims_) {
    shared[key.first].push_back(element_text(key.second, owners.begin()->second));
  }
  for (const auto& [set, elements] : shared) out.add_elements(set, elements);
  const NftPiece none;
  for (const auto& [owner, piece] : pieces_) {
    change_sets(out, none, piece);
    change_chains(out, none, piece);
  }
  return cat("add table ", out.table, "\ndelete table ", out.table, "\ntable ", out.table, " {\n", skeleton_,
             "}\n", out.declare, out.rules, out.add);
}

}  // namespace orch::agent
