#include "io/pickle_machine.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "io/pickle_opcodes.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr size_t kMaxPickleDepth = 1 << 18;        // of the stack, and of its marks
constexpr size_t kMaxPickleOpcodes = 100'000'000;  // bounds the time

class PickleMachine {
  using Value = PickleValue;
  using Kind = PickleNode::Kind;
  using Opcode = PickleOpcode;

 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& where, size_t memory)
      : bytes_(bytes), where_(where), memory_left_(memory) {}

  Pickle run() {
    for (size_t count = 0; count < kMaxPickleOpcodes; ++count) {
      const auto opcode = static_cast<Opcode>(number<uint8_t>());
      if (opcode == Opcode::stop) {
        result_.root = pop();
        result_.size = at_;
        return std::move(result_);
      }
      if (!run_scalar(opcode) && !run_container(opcode) && !run_memo(opcode) && !run_object(opcode))
        throw Error(ErrorCode::unsupported_format,
                    fmt::format("{}: byte {} holds the opcode 0x{:02x}, which torch.save does not write", where_,
                                at_ - 1, static_cast<unsigned>(opcode)));
    }
    fail("has too many opcodes");
  }

 private:
  // clang-format off
  bool run_scalar(Opcode opcode) {
    switch (opcode) {
      case Opcode::proto:
        if (const auto protocol = number<uint8_t>(); protocol > 5) fail(fmt::format("has the unknown protocol {}", protocol));
        break;
      case Opcode::frame: take(number<uint64_t>(), 0); break;
      case Opcode::none: push({}); break;
      case Opcode::newtrue: push_integer(1, Value::Kind::boolean); break;
      case Opcode::newfalse: push_integer(0, Value::Kind::boolean); break;
      case Opcode::binint: push_integer(number<int32_t>()); break;
      case Opcode::binint1: push_integer(number<uint8_t>()); break;
      case Opcode::binint2: push_integer(number<uint16_t>()); break;
      case Opcode::long1: push_long(number<uint8_t>()); break;
      case Opcode::long4: push_long(number<uint32_t>()); break;
      case Opcode::binfloat: push_float(); break;
      case Opcode::binunicode:
      case Opcode::binstring: push_characters(number<uint32_t>(), Value::Kind::text); break;
      case Opcode::short_binunicode:
      case Opcode::short_binstring: push_characters(number<uint8_t>(), Value::Kind::text); break;
      case Opcode::binunicode8: push_characters(number<uint64_t>(), Value::Kind::text); break;
      case Opcode::binbytes: push_characters(number<uint32_t>(), Value::Kind::bytes); break;
      case Opcode::short_binbytes: push_characters(number<uint8_t>(), Value::Kind::bytes); break;
      case Opcode::binbytes8:
      case Opcode::bytearray8: push_characters(number<uint64_t>(), Value::Kind::bytes); break;
      default: return false;
    }
    return true;
  }

  bool run_container(Opcode opcode) {
    switch (opcode) {
      case Opcode::mark:
        if (marks_.size() == kMaxPickleDepth) fail("has too many open marks");
        marks_.push_back(static_cast<uint32_t>(stack_.size()));
        break;
      case Opcode::pop:
        if (!marks_.empty() && marks_.back() == stack_.size()) marks_.pop_back();
        else pop();
        break;
      case Opcode::pop_mark: stack_.resize(pop_mark()); break;
      case Opcode::dup: push(top()); break;
      case Opcode::empty_list: push_node({.kind = Kind::list}); break;
      case Opcode::empty_dict: push_node({.kind = Kind::dict}); break;
      case Opcode::empty_set: push_node({.kind = Kind::set}); break;
      case Opcode::empty_tuple: push_node({.kind = Kind::tuple}); break;
      case Opcode::list: push_slice(Kind::list, pop_mark()); break;
      case Opcode::tuple: push_slice(Kind::tuple, pop_mark()); break;
      case Opcode::frozenset: push_slice(Kind::set, pop_mark()); break;
      case Opcode::tuple1: push_slice(Kind::tuple, below(1)); break;
      case Opcode::tuple2: push_slice(Kind::tuple, below(2)); break;
      case Opcode::tuple3: push_slice(Kind::tuple, below(3)); break;
      case Opcode::append: extend(below(1), 1); break;
      case Opcode::setitem: extend(below(2), 2); break;
      case Opcode::appends:
      case Opcode::additems: extend(pop_mark(), 1); break;
      case Opcode::setitems: extend(pop_mark(), 2); break;
      case Opcode::dict: {
        const size_t from = pop_mark();
        if ((stack_.size() - from) % 2 != 0) fail("has a dict with a key but no value");
        push_slice(Kind::dict, from);
        break;
      }
      default: return false;
    }
    return true;
  }

  bool run_memo(Opcode opcode) {
    switch (opcode) {
      case Opcode::binput: put(number<uint8_t>()); break;
      case Opcode::long_binput: put(number<uint32_t>()); break;
      case Opcode::memoize: put(memo_.size()); break;
      case Opcode::binget: push(get(number<uint8_t>())); break;
      case Opcode::long_binget: push(get(number<uint32_t>())); break;
      default: return false;
    }
    return true;
  }

  bool run_object(Opcode opcode) {
    switch (opcode) {
      case Opcode::global: {
        const Value module = line(), name = line();
        push_node({.kind = Kind::global, .first = module, .second = name});
        break;
      }
      case Opcode::stack_global: push_pair(Kind::global); break;
      case Opcode::reduce:
      case Opcode::newobj: push_pair(Kind::call); break;
      case Opcode::newobj_ex: pop(); push_pair(Kind::call); break;  // the keyword arguments tell us nothing
      case Opcode::obj: {
        const size_t from = pop_mark();
        if (from == stack_.size()) fail("has an object without a class");
        push_slice(Kind::tuple, from + 1);
        push_pair(Kind::call);
        break;
      }
      case Opcode::build: pop(); top(); break;  // an object's attributes; none of ours has any
      case Opcode::binpersid: push_node({.kind = Kind::persistent, .first = pop()}); break;
      default: return false;
    }
    return true;
  }

  // clang-format on

  // --- reading ---
  std::span<const std::byte> take(uint64_t size, uint64_t consume) {
    if (size > bytes_.size() - at_) fail("ends too early: the file is truncated or corrupt");
    const auto part = bytes_.subspan(at_, size);
    at_ += consume;
    return part;
  }
  template <typename number_t>
  number_t number() {
    number_t value;
    std::memcpy(&value, take(sizeof value, sizeof value).data(), sizeof value);
    return value;
  }
  Value line() {
    const auto rest = bytes_.subspan(at_);
    const void* end = rest.empty() ? nullptr : std::memchr(rest.data(), '\n', rest.size());
    if (!end) fail("ends too early: the file is truncated or corrupt");
    const Value text =
        characters(static_cast<size_t>(static_cast<const std::byte*>(end) - rest.data()), Value::Kind::text);
    ++at_;
    return text;
  }
  Value characters(uint64_t size, Value::Kind kind) {
    if (size > UINT32_MAX) fail("has a text of more than 4 GB");
    Value value(kind, static_cast<uint32_t>(size));
    value.characters = reinterpret_cast<const char*>(take(size, size).data());
    return value;
  }

  // --- the stack ---
  void push(const Value& value) {
    if (stack_.size() == kMaxPickleDepth) fail("needs too deep a stack");
    stack_.push_back(value);
  }
  void push_integer(int64_t integer, Value::Kind kind = Value::Kind::integer) {
    Value value(kind);
    value.integer = integer;
    push(value);
  }
  void push_characters(uint64_t size, Value::Kind kind) { push(characters(size, kind)); }
  void push_long(uint32_t size) {
    const Value digits = characters(size, Value::Kind::big_integer);
    if (size > sizeof(int64_t)) return push(digits);
    uint64_t value = size > 0 && (digits.text().back() & 0x80) ? ~uint64_t{0} : 0;  // the sign fills what is not there
    std::memcpy(&value, digits.characters, size);
    push_integer(static_cast<int64_t>(value));
  }
  void push_float() {
    const uint64_t bits = __builtin_bswap64(number<uint64_t>());  // the one big-endian number of the format
    Value value(Value::Kind::real);
    std::memcpy(&value.real, &bits, sizeof bits);
    push(value);
  }
  void push_node(PickleNode node) {
    charge(sizeof node);
    push_integer(static_cast<int64_t>(result_.nodes.size()), Value::Kind::node);
    result_.nodes.push_back(std::move(node));
  }
  void push_slice(Kind kind, size_t from) {
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(from);
    charge_items(stack_.size() - from);
    PickleNode node{.kind = kind, .items = {begin, stack_.end()}};
    stack_.resize(from);
    push_node(std::move(node));
  }
  void push_pair(Kind kind) {
    const Value second = pop();
    const Value first = pop();
    push_node({.kind = kind, .first = first, .second = second});
  }

  // Appends what stands from `from` on to the container (or object) below it; in steps of 1 (elements) or 2 (keys and
  // values).
  void extend(size_t from, size_t step) {
    if (from == 0 || (!marks_.empty() && from <= marks_.back())) fail("appends to nothing");
    if ((stack_.size() - from) % step != 0) fail("has a dict with a key but no value");
    const Value& target = stack_[from - 1];
    if (target.kind != Value::Kind::node) fail("appends to what is no container");
    auto& items = result_.nodes[static_cast<size_t>(target.integer)].items;
    charge_items(stack_.size() - from);
    items.insert(items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(from), stack_.end());
    stack_.resize(from);
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value& top() {
    if (stack_.size() <= floor()) fail("takes from an empty stack");
    return stack_.back();
  }
  Value pop() {
    const Value value = top();
    stack_.pop_back();
    return value;
  }
  size_t below(size_t count) const {
    if (stack_.size() < floor() + count) fail("takes from an empty stack");
    return stack_.size() - count;
  }
  size_t pop_mark() {
    if (marks_.empty()) fail("closes a mark that was not opened");
    const size_t from = marks_.back();
    marks_.pop_back();
    return from;
  }

  // --- the memo ---
  void put(uint64_t index) {
    if (index >= memo_.size()) {
      // Python numbers its memos without gaps, so no honest index exceeds the count of bytes read.
      if (index > at_) fail("has a memo number out of range");
      charge((index + 1 - memo_.size()) * 3 * sizeof(Value));
      memo_.resize(index + 1);
    }
    memo_[index] = top();
  }
  const Value& get(uint64_t index) const {
    if (index >= memo_.size() || !memo_[index]) fail("refers to a memo that was not made");
    return *memo_[index];
  }

  // --- limits ---
  void charge_items(size_t count) {
    charge(count * 2 * sizeof(Value));
  }  // a growing vector has up to twice what it holds
  void charge(size_t memory) {
    if (memory > memory_left_)
      fail("would take too much memory: save the tensors alone, torch.save(model.state_dict(), path)");
    memory_left_ -= memory;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: the pickle (at byte {}) {}", where_, at_, what));
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  size_t memory_left_;
  size_t at_ = 0;
  std::vector<Value> stack_;
  std::vector<uint32_t> marks_;
  std::vector<std::optional<Value>> memo_;
  Pickle result_;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where, size_t memory) {
  return PickleMachine(bytes, where, memory).run();
}

}  // namespace wkv::zoo
