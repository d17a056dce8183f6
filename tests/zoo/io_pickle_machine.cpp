#include "io/pickle_machine.h"
#include "io_files.h"

namespace wkv::test {
namespace {

using namespace std::string_literals;
using Kind = zoo::PickleNode::Kind;
using ValueKind = zoo::PickleValue::Kind;

zoo::Pickle pickle_of(const std::string& bytes, size_t memory = 1 << 20) {
  return zoo::read_pickle(std::as_bytes(std::span(bytes)), "p", memory);
}

// A value for an opcode's operand: the bytes must live as long as the pickle.
int64_t integer_of(const std::string& bytes) {
  const auto root = pickle_of(bytes).root;
  EXPECT_EQ(root.kind, ValueKind::integer);
  return root.integer;
}

}  // namespace

TEST(PickleMachine, reads_numbers) {
  EXPECT_EQ(integer_of("K\xff."), 255);
  EXPECT_EQ(integer_of("M\x01\x02."), 513);
  EXPECT_EQ(integer_of("J\xff\xff\xff\xff."), -1);
  EXPECT_EQ(integer_of("\x8a\x02\x00\x80."s), -32768);
  EXPECT_EQ(integer_of("\x8a\x00."s), 0);
  EXPECT_EQ(integer_of("\x8b\x01\x00\x00\x00\x05."s), 5);
  EXPECT_EQ(pickle_of("\x8a\x09"
                      "123456789.")
                .root.kind,
            ValueKind::big_integer);
  EXPECT_EQ(pickle_of("G\x3f\xf8\0\0\0\0\0\0."s).root.real, 1.5);
  EXPECT_TRUE(pickle_of("\x89.").root.is_false());
  EXPECT_FALSE(pickle_of("\x88.").root.is_false());
  EXPECT_EQ(pickle_of("N.").root.kind, ValueKind::none);
}

TEST(PickleMachine, reads_texts_in_all_lengths) {
  for (const std::string& bytes : {"X\x03\0\0\0abc."s,
                                   "\x8c\x03"s
                                   "abc."s,
                                   "\x8d\x03\0\0\0\0\0\0\0abc."s,
                                   "U\x03"
                                   "abc."s,
                                   "T\x03\0\0\0abc."s})
    EXPECT_TRUE(pickle_of(bytes).root.is_text("abc"));
}

TEST(PickleMachine, reads_containers) {
  for (const std::string& bytes : {"]K\1aK\2a."s, "](K\1K\2e."s, "(K\1K\2l."s, "(K\1K\2t."s, "K\1K\2\x86."s,
                                   "}K\1K\2s."s, "}(K\1K\2u."s, "(K\1K\2d."s, "\x8f(K\1K\2\x90."s, "(K\1K\2\x91."s}) {
    const auto pickle = pickle_of(bytes);
    const auto* node = pickle.node(pickle.root);
    ASSERT_NE(node, nullptr);
    ASSERT_EQ(node->items.size(), 2) << bytes;
    EXPECT_EQ(node->items[0].integer, 1);
    EXPECT_EQ(node->items[1].integer, 2);
  }
}

TEST(PickleMachine, the_memo_gives_values_back) {
  EXPECT_EQ(integer_of("K\5q\0"
                       "0h\0."s),
            5);
  EXPECT_EQ(integer_of("K\5r\0\0\0\0"
                       "0j\0\0\0\0."s),
            5);
  EXPECT_EQ(integer_of("K\5\x94"
                       "0h\0."s),
            5);
}

TEST(PickleMachine, a_list_may_hold_itself) {
  const auto pickle = pickle_of("]q\0h\0a."s);
  EXPECT_EQ(pickle.node(pickle.root), pickle.node(pickle.node(pickle.root)->items[0]));
}

TEST(PickleMachine, tells_where_the_next_pickle_begins) { EXPECT_EQ(pickle_of("K\1.K\2.").size, 3); }

// Every way in which a pickle makes Python run code: here, a name and its arguments.
TEST(PickleMachine, nothing_is_ever_called) {
  const std::string command = "X\x07\0\0\0touch x\x85"s;
  for (const std::string& bytes : {"cos\nsystem\n" + command + "R.", "\x8c\2os\x8c\6system\x93"s + command + "R.",
                                   "cos\nsystem\n" + command + "\x81.", "cos\nsystem\n" + command + "}\x92.",
                                   "(cos\nsystem\nX\x07\0\0\0touch xo."s}) {
    const auto pickle = pickle_of(bytes);
    const auto* call = pickle.node(pickle.root, Kind::call);
    ASSERT_NE(call, nullptr);
    const auto* name = pickle.node(call->first, Kind::global);
    ASSERT_NE(name, nullptr);
    EXPECT_TRUE(name->first.is_text("os"));
    EXPECT_TRUE(name->second.is_text("system"));
    EXPECT_TRUE(pickle.node(call->second, Kind::tuple)->items.at(0).is_text("touch x"));
  }
}

TEST(PickleMachine, setting_the_state_of_an_object_does_nothing) {
  const auto pickle = pickle_of("cos\nsystem\n)\x81X\x04\0\0\0evilb."s);
  EXPECT_NE(pickle.node(pickle.root, Kind::call), nullptr);
}

TEST(PickleMachine, broken_pickles_are_refused) {
  struct Case {
    std::string bytes;
    const char* message;
  };
  const Case cases[] = {
      {"", "ends too early"},
      {"K", "ends too early"},
      {"K\1", "ends too early"},
      {"X\xff\xff\xff\xff"
       "a.",
       "ends too early"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "4 GB"},
      {"cos\nsystem", "ends too early"},
      {"c", "ends too early"},
      {"\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "ends too early"},
      {".", "empty stack"},
      {"0.", "empty stack"},
      {"2.", "empty stack"},
      {"R.", "empty stack"},
      {"K\1R.", "empty stack"},
      {"\x86.", "empty stack"},
      {"K\1(\x85.", "empty stack"},
      {"(.", "empty stack"},
      {"t.", "mark"},
      {"u.", "mark"},
      {"(u.", "appends to nothing"},
      {"a.", "empty stack"},
      {"K\1a.", "appends to nothing"},
      {"K\1K\2a.", "no container"},
      {"K\1(K\2(e.", "appends to nothing"},
      {"}(K\1u.", "no value"},
      {"(K\1d.", "no value"},
      {"h\1.", "memo"},
      {"K\1q\xff.", "memo"},
      {"K\1r\xff\xff\xff\xff.", "memo"},
      {"b.", "empty stack"},
      {"(o.", "without a class"},
      {"Q.", "empty stack"},
      {"\x80\x09.", "protocol 9"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::PrintToString(c.bytes));
    expect_error(ErrorCode::corrupt_file, c.message, [&] { pickle_of(c.bytes); });
  }
}

TEST(PickleMachine, opcodes_that_torch_never_writes_are_named) {
  expect_error(ErrorCode::unsupported_format, "opcode 0x82", [] { pickle_of("\x82\1."); });  // an extension registry
  expect_error(ErrorCode::unsupported_format, "opcode 0x49", [] { pickle_of("I1\n."); });    // protocol 0
}

TEST(PickleMachine, memory_stack_and_marks_are_bounded) {
  expect_error(ErrorCode::corrupt_file, "too much memory", [] { pickle_of(std::string(100'000, ']') + "."); });
  expect_error(ErrorCode::corrupt_file, "too deep a stack", [] { pickle_of(std::string(1'000'000, 'N') + "."); });
  expect_error(ErrorCode::corrupt_file, "too many open marks", [] { pickle_of(std::string(1'000'000, '(') + "."); });
}

}  // namespace wkv::test
