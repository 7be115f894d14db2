// Which sanitizer watches a test. What is found is found in any of the cases, so that tests of many
// cases run fewer of them where every access is watched.
#pragma once

namespace sparsed::testing {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;  // the plain products it needs are forty times slower
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
constexpr bool kSanitizer = kThreadSanitizer || kAddressSanitizer;

}  // namespace sparsed::testing
