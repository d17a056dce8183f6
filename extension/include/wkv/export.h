#pragma once
// Marks what programs outside libwkv may use; everything else is hidden.
#define WKV_API __attribute__((visibility("default")))
