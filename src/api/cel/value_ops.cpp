// Equality, order and arithmetic.
#include <cmath>

#include "api/cel/schema_view.h"
#include "api/cel/value.h"
#include "base/json.h"

namespace orch::api::cel {

using Kind = Value::Kind;
using A = ValueAccess;

namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinUnix = -62135596800;
constexpr int64_t kMaxUnix = 253402300799;

template <typename T>
int order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int order_double_int(double d, int64_t i) {
  if (d < -kTwoTo63) return -1;
  if (d > kTwoTo63) return 1;
  return order(d, static_cast<double>(i));
}
int order_double_uint(double d, uint64_t u) {
  if (d < 0) return -1;
  if (d > kTwoTo64) return 1;
  return order(d, static_cast<double>(u));
}
int order_int_uint(int64_t i, uint64_t u) {
  if (i < 0 || u > static_cast<uint64_t>(INT64_MAX)) return -1;
  return order(i, static_cast<int64_t>(u));
}

bool is_number(const Value& v) {
  return v.kind() == Kind::kInt || v.kind() == Kind::kUint || v.kind() == Kind::kDouble;
}

/// Of numbers that are no NaN.
int order_numbers(const Value& a, const Value& b) {
  switch (a.kind()) {
    case Kind::kInt:
      if (b.kind() == Kind::kInt) return order(A::integer(a), A::integer(b));
      if (b.kind() == Kind::kUint) return order_int_uint(A::integer(a), A::unsigned_integer(b));
      return -order_double_int(A::real(b), A::integer(a));
    case Kind::kUint:
      if (b.kind() == Kind::kUint) return order(A::unsigned_integer(a), A::unsigned_integer(b));
      if (b.kind() == Kind::kInt) return -order_int_uint(A::integer(b), A::unsigned_integer(a));
      return -order_double_uint(A::real(b), A::unsigned_integer(a));
    default:
      if (b.kind() == Kind::kDouble) return order(A::real(a), A::real(b));
      if (b.kind() == Kind::kInt) return order_double_int(A::real(a), A::integer(b));
      return order_double_uint(A::real(a), A::unsigned_integer(b));
  }
}

bool is_nan(const Value& v) { return v.kind() == Kind::kDouble && std::isnan(A::real(v)); }

int order_times(const Value& a, const Value& b) {
  if (const int by_second = order(A::integer(a), A::integer(b))) return by_second;
  return order(A::nanos(a), A::nanos(b));
}

bool lists_equal(const Value& a, const Value& b) {
  const auto size = size_of(a);
  if (size != size_of(b)) return false;
  for (size_t i = 0; i < static_cast<size_t>(*size); ++i) {
    const Value same = equal(list_item(a, i), list_item(b, i));
    if (same.kind() == Kind::kBool && !same.is_true()) return false;
  }
  return true;
}

bool maps_equal(const Value& a, const Value& b) {
  if (size_of(a) != size_of(b)) return false;
  for (const Value& key : map_keys(a)) {
    const std::optional<Value> other = map_find(b, key);
    if (!other) return false;
    const Value same = equal(map_get(a, key), *other);
    if (same.kind() == Kind::kBool && !same.is_true()) return false;
  }
  return true;
}

Value opaque_equal(const Value& a, const Value& b) {
  const OpaqueRep* x = A::opaque(a);
  const OpaqueRep* y = A::opaque(b);
  const bool is_object = dynamic_cast<const ObjectRep*>(x) != nullptr;
  if (y == nullptr || x->type_name() != y->type_name()) {
    return is_object ? Value::of(false) : maybe_no_such_overload(b);
  }
  if (x->type_name().starts_with("kubernetes.authorization.")) return no_such_overload();
  return Value::of(x->equals(*y));
}

Value equal_optional(const Value& a, const Value& b) {
  if (b.kind() != Kind::kOptional) return Value::of(false);
  const Value* x = A::optional(a);
  const Value* y = A::optional(b);
  if (x == nullptr || y == nullptr) return Value::of(x == y);
  return equal(*x, *y);
}

}  // namespace

Value equal(const Value& a, const Value& b) {
  if (a.is_error()) return a;
  if (a.kind() == Kind::kNull || b.kind() == Kind::kNull) return Value::of(a.kind() == b.kind());
  if (is_number(a)) {
    if (!is_number(b) || is_nan(a) || is_nan(b)) return Value::of(false);
    return Value::of(order_numbers(a, b) == 0);
  }
  switch (a.kind()) {
    case Kind::kList:
      if (A::schema(a) != nullptr) return schema_list_equal(a, b);
      return Value::of(b.kind() == Kind::kList && lists_equal(a, b));
    case Kind::kMap:
      if (A::schema(a) != nullptr) return schema_map_equal(a, b);
      return Value::of(b.kind() == Kind::kMap && maps_equal(a, b));
    case Kind::kOpaque:
      return opaque_equal(a, b);
    case Kind::kOptional:
      return equal_optional(a, b);
    default:
      break;
  }
  if (a.kind() != b.kind()) return Value::of(false);
  switch (a.kind()) {
    case Kind::kBool:
      return Value::of(a.is_true() == b.is_true());
    case Kind::kString:
    case Kind::kBytes:
      return Value::of(text_of(a) == text_of(b));
    case Kind::kTimestamp:
      return Value::of(order_times(a, b) == 0);
    case Kind::kDuration:
      return Value::of(A::integer(a) == A::integer(b));
    case Kind::kType:
      return Value::of(A::type_of(a)->name == A::type_of(b)->name);
    default:
      return Value::of(false);
  }
}

bool is_comparable(const Value& v) {
  switch (v.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kTimestamp:
    case Kind::kDuration:
      return true;
    default:
      return false;
  }
}

Value compare(const Value& a, const Value& b) {
  if (is_number(a)) {
    if (is_nan(a)) return Value::error("NaN values cannot be ordered");
    if (!is_number(b)) return maybe_no_such_overload(b);
    if (is_nan(b)) return Value::error("NaN values cannot be ordered");
    return Value::of(int64_t{order_numbers(a, b)});
  }
  if (!is_comparable(a)) return no_such_overload();
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  int result = 0;
  switch (a.kind()) {
    case Kind::kBool:
      result = order<int>(a.is_true(), b.is_true());
      break;
    case Kind::kString:
    case Kind::kBytes:
      result = text_of(a).compare(text_of(b));
      result = order(result, 0);
      break;
    case Kind::kTimestamp:
      result = order_times(a, b);
      break;
    default:
      result = order(A::integer(a), A::integer(b));
      break;
  }
  return Value::of(int64_t{result});
}

// --- Arithmetic -----------------------------------------------------------------------------------

namespace {

Value int_overflow() { return Value::error("integer overflow"); }
Value uint_overflow() { return Value::error("unsigned integer overflow"); }

/// A moment `nanos` after another.
Value shift(const Value& time, int64_t nanos) {
  int64_t seconds = 0;
  if (__builtin_add_overflow(A::integer(time), nanos / kSecond, &seconds)) return int_overflow();
  int64_t rest = A::nanos(time) + nanos % kSecond;
  if (rest >= kSecond) {
    rest -= kSecond;
    ++seconds;
  } else if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  if (seconds < kMinUnix || seconds > kMaxUnix) return Value::error("timestamp overflow");
  return A::timestamp(seconds, static_cast<int32_t>(rest), A::offset(time));
}

Value checked_duration(bool overflow, int64_t nanos) {
  return overflow ? int_overflow() : A::duration(nanos);
}

Value subtract_times(const Value& a, const Value& b) {
  int64_t seconds = 0;
  int64_t nanos = 0;
  if (__builtin_sub_overflow(A::integer(a), A::integer(b), &seconds) ||
      __builtin_mul_overflow(seconds, kSecond, &nanos) ||
      __builtin_add_overflow(nanos, int64_t{A::nanos(a)} - A::nanos(b), &nanos)) {
    return int_overflow();
  }
  return A::duration(nanos);
}

Value add_lists(const Value& a, const Value& b) {
  if (A::schema(a) != nullptr) return schema_list_add(a, b);
  if (b.kind() != Kind::kList) return maybe_no_such_overload(b);
  if (*size_of(a) == 0) return b;
  if (*size_of(b) == 0) return a;
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(*size_of(a) + *size_of(b)));
  for (const Value* list : {&a, &b}) {
    for (size_t i = 0; i < static_cast<size_t>(*size_of(*list)); ++i) items.push_back(list_item(*list, i));
  }
  return Value::list(std::move(items));
}

}  // namespace

Value add(const Value& a, const Value& b) {
  if (a.kind() == Kind::kList) return add_lists(a, b);
  if (a.kind() == Kind::kDuration && b.kind() == Kind::kTimestamp) return shift(b, A::integer(a));
  if (a.kind() == Kind::kTimestamp) {
    return b.kind() == Kind::kDuration ? shift(a, A::integer(b)) : maybe_no_such_overload(b);
  }
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  int64_t i = 0;
  uint64_t u = 0;
  switch (a.kind()) {
    case Kind::kInt:
      return __builtin_add_overflow(A::integer(a), A::integer(b), &i) ? int_overflow() : Value::of(i);
    case Kind::kUint:
      return __builtin_add_overflow(A::unsigned_integer(a), A::unsigned_integer(b), &u) ? uint_overflow()
                                                                                        : Value::of(u);
    case Kind::kDouble:
      return Value::of(A::real(a) + A::real(b));
    case Kind::kString:
      return Value::of(text_of(a) + text_of(b));
    case Kind::kBytes:
      return A::bytes(text_of(a) + text_of(b));
    case Kind::kDuration: {
      const bool overflow = __builtin_add_overflow(A::integer(a), A::integer(b), &i);
      return checked_duration(overflow, i);
    }
    default:
      return no_such_overload();
  }
}

Value subtract(const Value& a, const Value& b) {
  int64_t i = 0;
  uint64_t u = 0;
  if (a.kind() == Kind::kTimestamp) {
    if (b.kind() == Kind::kTimestamp) return subtract_times(a, b);
    if (b.kind() != Kind::kDuration) return maybe_no_such_overload(b);
    if (__builtin_sub_overflow(int64_t{0}, A::integer(b), &i)) return int_overflow();
    return shift(a, i);
  }
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  switch (a.kind()) {
    case Kind::kInt:
      return __builtin_sub_overflow(A::integer(a), A::integer(b), &i) ? int_overflow() : Value::of(i);
    case Kind::kUint:
      return __builtin_sub_overflow(A::unsigned_integer(a), A::unsigned_integer(b), &u) ? uint_overflow()
                                                                                        : Value::of(u);
    case Kind::kDouble:
      return Value::of(A::real(a) - A::real(b));
    case Kind::kDuration: {
      const bool overflow = __builtin_sub_overflow(A::integer(a), A::integer(b), &i);
      return checked_duration(overflow, i);
    }
    default:
      return no_such_overload();
  }
}

Value multiply(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  int64_t i = 0;
  uint64_t u = 0;
  switch (a.kind()) {
    case Kind::kInt:
      return __builtin_mul_overflow(A::integer(a), A::integer(b), &i) ? int_overflow() : Value::of(i);
    case Kind::kUint:
      return __builtin_mul_overflow(A::unsigned_integer(a), A::unsigned_integer(b), &u) ? uint_overflow()
                                                                                        : Value::of(u);
    case Kind::kDouble:
      return Value::of(A::real(a) * A::real(b));
    default:
      return no_such_overload();
  }
}

Value divide(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  switch (a.kind()) {
    case Kind::kInt:
      if (A::integer(b) == 0) return Value::error("division by zero");
      if (A::integer(a) == INT64_MIN && A::integer(b) == -1) return int_overflow();
      return Value::of(A::integer(a) / A::integer(b));
    case Kind::kUint:
      if (A::unsigned_integer(b) == 0) return Value::error("division by zero");
      return Value::of(A::unsigned_integer(a) / A::unsigned_integer(b));
    case Kind::kDouble:
      return Value::of(A::real(a) / A::real(b));
    default:
      return no_such_overload();
  }
}

Value modulo(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return maybe_no_such_overload(b);
  switch (a.kind()) {
    case Kind::kInt:
      if (A::integer(b) == 0) return Value::error("modulus by zero");
      if (A::integer(a) == INT64_MIN && A::integer(b) == -1) return int_overflow();
      return Value::of(A::integer(a) % A::integer(b));
    case Kind::kUint:
      if (A::unsigned_integer(b) == 0) return Value::error("modulus by zero");
      return Value::of(A::unsigned_integer(a) % A::unsigned_integer(b));
    default:
      return no_such_overload();
  }
}

Value negate(const Value& a) {
  switch (a.kind()) {
    case Kind::kInt:
      return A::integer(a) == INT64_MIN ? int_overflow() : Value::of(-A::integer(a));
    case Kind::kDouble:
      return Value::of(-A::real(a));
    case Kind::kDuration:
      return A::integer(a) == INT64_MIN ? int_overflow() : A::duration(-A::integer(a));
    default:
      return no_such_overload();
  }
}

}  // namespace orch::api::cel
