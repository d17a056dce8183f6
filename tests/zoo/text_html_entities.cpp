#include <gtest/gtest.h>

#include "text/html_entities.h"

namespace wkv::zoo {
namespace {

struct UnescapeCase {
  const char* name;
  std::string text;
  std::string as_browsers, strictly;
};

const UnescapeCase kUnescapeCases[] = {
    {"nothing_to_do", "a & b;", "a & b;", "a & b;"},
    {"a_name", "&eacute;t&eacute;", "\u00E9t\u00E9", "\u00E9t\u00E9"},
    {"a_name_of_two_characters", "&bne;", "=\u20E5", "=\u20E5"},
    {"once_only", "&amp;lt;", "&lt;", "&lt;"},
    {"a_name_without_semicolon", "&copy 2010", "\u00A9 2010", "&copy 2010"},
    {"the_beginning_of_a_name", "&notit;", "\u00ACit;", "&notit;"},
    {"the_longest_name", "&notin;", "\u2209", "\u2209"},
    {"an_unknown_name", "&unknown;", "&unknown;", "&unknown;"},
    {"a_name_that_needs_its_semicolon", "&alpha", "&alpha", "&alpha"},
    {"a_name_in_capitals", "&EACUTE;", "&EACUTE;", "\u00C9"},
    {"a_name_in_capitals_of_a_sign", "&HELLIP;", "&HELLIP;", "\u2026"},
    {"a_name_in_mixed_case", "&eAcute;", "&eAcute;", "&eAcute;"},
    {"capitals_that_begin_with_a_name", "&GTDOT;", ">DOT;", "&GTDOT;"},
    {"a_name_of_more_than_24", "&CounterClockwiseContourIntegral;", "\u2233", "&CounterClockwiseContourIntegral;"},
    {"decimal", "&#233;", "\u00E9", "\u00E9"},
    {"hexadecimal", "&#xe9;&#XE9;", "\u00E9\u00E9", "\u00E9\u00E9"},
    {"a_number_without_semicolon", "&#233 &#xe9g", "\u00E9 \u00E9g", "&#233 &#xe9g"},
    {"a_number_and_letters", "&#12ab;", "\fab;", "&#12ab;"},
    {"no_digits", "&#; &#x; &#g;", "&#; &#x; &#g;", "&#; &#x; &#g;"},
    {"a_semicolon_by_number", "&#59;", ";", "&#59;"},
    {"a_semicolon_by_name", "&semi;", ";", ";"},
    {"nul", "&#0;", "\uFFFD", "\uFFFD"},
    {"a_surrogate", "&#xD800;", "\uFFFD", "\uFFFD"},
    {"beyond_unicode", "&#x110000;&#99999999999999999999;", "\uFFFD\uFFFD", "\uFFFD\uFFFD"},
    {"more_than_24_digits", "&#0000000000000000000000065;", "A", "&#0000000000000000000000065;"},
    {"windows_1252", "&#150;&#x80;&#129;", "\u2013\u20AC\u0081", "\u2013\u20AC\u0081"},
    {"control_characters_vanish", "&#1;&#x7F;&#11;", "", ""},
    {"white_space_stays", "&#9;&#10;&#12;&#13;", "\t\n\f\r", "\t\n\f\r"},
    {"noncharacters_vanish", "&#xFDD0;&#xFFFE;&#x10FFFF;", "", ""},
    {"an_ampersand_before_a_reference", "&&lt;", "&<", "&<"},
};

class Unescape : public testing::TestWithParam<UnescapeCase> {};
INSTANTIATE_TEST_SUITE_P(Table, Unescape, testing::ValuesIn(kUnescapeCases),
                         [](const auto& test) { return test.param.name; });

TEST_P(Unescape, as_browsers_do) { EXPECT_EQ(unescape_html(GetParam().text), GetParam().as_browsers); }

TEST_P(Unescape, strictly) { EXPECT_EQ(unescape_html_strictly(GetParam().text), GetParam().strictly); }

}  // namespace
}  // namespace wkv::zoo
