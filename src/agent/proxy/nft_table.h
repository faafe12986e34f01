// NftTable: one nftables table as a value made of pieces, and the transaction that turns one state of it into
// the next.
//
// Each owner (a service, a node) contributes one piece: elements of sets and maps that all owners share, and
// sets and chains of its own. Where two owners claim the same key of a shared map, the one first in order of
// name has it, and the other gets it when the first lets go. Pure: makes text for `nft -f`, runs nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace orch::agent {

/// Key to value; the value is "" in a set and the mapped datum in a map.
using NftElements = std::map<std::string, std::string>;

struct NftSet {
  bool is_map = false;
  std::string declaration;  // between the braces: "type ipv4_addr; flags dynamic,timeout;"
  NftElements elements;
  friend bool operator==(const NftSet&, const NftSet&) = default;
};

struct NftChain {
  std::string comment;  // "" for none; shown by `nft list`
  std::vector<std::string> rules;
  friend bool operator==(const NftChain&, const NftChain&) = default;
};

struct NftPiece {
  std::map<std::string, NftElements> shared;  // by the set's name in the skeleton
  std::map<std::string, NftSet> sets;         // names no other owner uses
  std::map<std::string, NftChain> chains;     // likewise
  bool empty() const { return shared.empty() && sets.empty() && chains.empty(); }
  friend bool operator==(const NftPiece&, const NftPiece&) = default;
};

/// What to run, in two transactions: the first switches over, the second removes what nothing refers to any
/// more (older kernels refuse to remove a chain together with the last reference to it).
struct NftChange {
  std::string apply, cleanup;
  bool empty() const { return apply.empty() && cleanup.empty(); }
};

/// Not thread-safe.
class NftTable {
 public:
  /// `skeleton` is what stands between the table's braces: shared sets and maps, base chains, fixed rules.
  NftTable(std::string family, std::string name, std::string skeleton)
      : family_(std::move(family)), name_(std::move(name)), skeleton_(std::move(skeleton)) {}

  /// Replaces the owner's piece; an empty one removes it.
  void set(const std::string& owner, NftPiece piece);
  /// The owner's piece now, null when it has none.
  const NftPiece* find(const std::string& owner) const;
  /// From the state at the last take() or full() to now.
  NftChange take();
  /// Makes the table anew, whatever is there: for start and after a failure. Also counts as taken.
  std::string full();
  const std::map<std::string, NftPiece>& pieces() const { return pieces_; }

 private:
  using SharedKey = std::pair<std::string, std::string>;
  /// "" and false when nobody claims it.
  std::pair<bool, std::string> effective(const SharedKey& key) const;

  const std::string family_, name_, skeleton_;
  std::map<std::string, NftPiece> pieces_;
  std::map<SharedKey, std::map<std::string, std::string>> claims_;
  // What changed since the last take(), with what was before.
  std::map<SharedKey, std::pair<bool, std::string>> changed_keys_;
  std::map<std::string, NftPiece> changed_owners_;
};

}  // namespace orch::agent
