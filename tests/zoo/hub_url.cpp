#include <gtest/gtest.h>

#include "hub/url.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

TEST(HubUrl, an_origin_is_scheme_host_and_port) {
  const std::string hub = "https://hub.example/a";
  for (const char* same : {"https://hub.example", "https://hub.example:443/b?c", "https://user@hub.example/"})
    EXPECT_TRUE(same_origin(hub, same)) << same;
  for (const char* other : {"http://hub.example/a", "https://hub.example:444/a", "https://hub.example.net/a",
                            "https://hub.example@evil.example/a", "https://ub.example/a"})
    EXPECT_FALSE(same_origin(hub, other)) << other;
}

TEST(HubUrl, a_location_is_relative_to_who_answered) {
  const std::string base = "https://hub.example/a/b?q";
  EXPECT_EQ(resolve_location(base, "/c?d"), "https://hub.example/c?d");
  EXPECT_EQ(resolve_location(base, "c"), "https://hub.example/a/c");
  EXPECT_EQ(resolve_location(base, "//cdn.example/c"), "https://cdn.example/c");
  EXPECT_EQ(resolve_location(base, "http://cdn.example/c"), "http://cdn.example/c");
}

TEST(HubUrl, only_http_and_https_are_taken) {
  for (const char* url : {"", "hub", "/a", "file:///a", "ftp://hub.example", "https://"}) {
    EXPECT_THROW(url_scheme(url), Error) << url;
  }
  EXPECT_THROW(resolve_location("https://hub.example/", "file:///etc/passwd"), Error);
}

TEST(HubUrl, what_is_shown_has_no_secrets) {
  EXPECT_EQ(without_secrets("https://user:word@hub.example:8443/a%20b?signature=s#f"),
            "https://hub.example:8443/a%20b");
}

TEST(HubUrl, what_is_not_unreserved_is_encoded) {
  EXPECT_EQ(percent_encode("a-B_0.~/ é?#%", true), "a-B_0.~/%20%C3%A9%3F%23%25");
  EXPECT_EQ(percent_encode("refs/pr/1", false), "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace wkv::zoo
