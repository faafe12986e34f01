// Quantity: a number with a unit, as k8s.io/apimachinery/pkg/api/resource reads and prints it: "100m", "1Gi",
// "2e3". Exact from 10^-9 to 10^29; smaller parts are rounded away from zero; larger values keep their text
// and count as the limit.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// A plain value.
class Quantity {
 public:
  enum class Format : uint8_t { kDecimal, kBinary, kExponent };

  Quantity() = default;  // 0
  /// kBadRequest with the messages of Kubernetes; spaces around the number are allowed.
  static base::Result<Quantity> parse(std::string_view text);
  /// A JSON string or number; null is 0.
  static base::Result<Quantity> from_json(const Json& value);
  /// 0 where the value is absent or broken: for objects that passed validation.
  static Quantity of(const Json* value);
  static Quantity of(int64_t value, Format format = Format::kDecimal);
  static Quantity of_milli(int64_t milli, Format format = Format::kDecimal);

  /// Rounded away from zero; at the limits of int64 when out of range.
  int64_t value() const { return scaled(0); }
  int64_t milli_value() const { return scaled(-3); }
  /// value / 10^scale, rounded away from zero; scale from -9 to 18.
  int64_t scaled(int scale) const;
  double approximate() const;
  bool is_zero() const { return nano_ == 0; }
  int sign() const { return nano_ == 0 ? 0 : nano_ < 0 ? -1 : 1; }
  Format format() const { return format_; }

  /// Canonical form: as Kubernetes answers it.
  std::string text() const;

  // Adding to zero takes over the other's format, as Kubernetes does.
  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);
  Quantity& operator*=(int64_t factor);
  friend Quantity operator+(Quantity a, const Quantity& b) { return a += b; }
  friend Quantity operator-(Quantity a, const Quantity& b) { return a -= b; }
  friend bool operator==(const Quantity& a, const Quantity& b) { return a.nano_ == b.nano_; }
  friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) {
    return a.nano_ <=> b.nano_;
  }

 private:
  __extension__ using Int128 = __int128;
  Int128 nano_ = 0;
  Format format_ = Format::kDecimal;
  /// The parsed text when it is already canonical, the canonical one when the number is too large to be
  /// calculated with, "" otherwise.
  std::string text_;
};

/// The canonical form of a quantity in text form.
base::Result<std::string> canonical_quantity(std::string_view text);

}  // namespace orch::api
