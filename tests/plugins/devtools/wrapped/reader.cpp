// Texts that are JSON, with what they become; then texts that are not.
#include <cassert>
#include <clocale>
#include <cstdio>
#include <limits>
#include "neurdicom_json.hpp"

using neurdicom::Json;

int main()
{
    std::setlocale(LC_ALL, "");
    const std::pair<const char*, const char*> good[] = {
        {" [ ] ", "[]"}, {"{}", "{}"}, {"-0", "0"}, {"1e3", "1000"}, {"2.50", "2.5"}, {"1E-2", "0.01"}, {"1e400", "null"},
        {"1e-400", "0"}, {"9223372036854775807", "9223372036854775807"}, {"-9223372036854775808", "-9223372036854775808"},
        {"\"\\u00e9\\ud83d\\ude00\\/\\b\"", "\"\u00e9\U0001F600/\\u0008\""}, {"\"\\u0000\"", "\"\\u0000\""},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"}, {"[true,false,null]", "[true,false,null]"}, {"\"\x7f\"", "\"\x7f\""},
        {"{\"a\":{\"b\":[{\"c\":\"d\"}]}}", "{\"a\":{\"b\":[{\"c\":\"d\"}]}}"},
    };
    for (const auto& [text, dumped] : good) {
        const std::string found = Json::parse(text).dump();
        if (found != dumped) return std::printf("%s: %s\n", text, found.c_str()), 1;
    }
    const char* bad[] = {"", " ", "[", "]", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "01", "+1", ".5", "1.",
        "1e", "1e+", "-", "nan", "Infinity", "tru", "truee", "\"", "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800x\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\n\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"", "[1] 2", "'a'", "{\"a\":1 \"b\":2}", "\xef\xbb\xbf[]"};
    for (const char* text : bad) {
        try {
            const std::string read = Json::parse(text).dump();
            return std::printf("%s was read: %s\n", text, read.c_str()), 1;
        } catch (const neurdicom::Error&) {
        }
    }
    try {
        Json::parse(std::string(100000, '['));
        return 2;
    } catch (const neurdicom::Error&) {
    }
    const Json read = Json::parse("{\"n\": 3.0, \"big\": 1e300, \"s\": \"x\"}");
    if (read["n"].integer() != 3 || !read["s"]["t"][3].is_null() || read["n"].size() != 0) return 3;
    for (const char* name : {"big", "s", "missing"}) {
        try {
            (void)read[name].integer();
            return 4;
        } catch (const neurdicom::Error&) {
        }
    }
    return std::numeric_limits<double>::infinity() == Json::parse("1e999").number() ? 0 : 5;
}
