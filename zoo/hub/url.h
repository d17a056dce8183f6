// What has to be known of URLs: whose they are, where a redirect leads, what of them may be shown.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Throw wkv::Error, invalid_argument, for what is no URL of http or https.
WKV_API std::string url_scheme(const std::string& url);
// The same scheme, host and port: nobody else may see what is meant for it.
WKV_API bool same_origin(const std::string& a, const std::string& b);
// What `location`, absolute or relative, means in an answer of `base`.
WKV_API std::string resolve_location(const std::string& base, const std::string& location);
// For messages: without a user's name and password, query (signatures) and fragment.
WKV_API std::string without_secrets(const std::string& url);

// Everything but unreserved characters, and the slashes if they are to be kept, as %XX.
WKV_API std::string percent_encode(std::string_view text, bool keep_slashes);

}  // namespace wkv::zoo
