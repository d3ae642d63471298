/*
 * neurdicom_json.hpp - a small JSON reader and writer for native NeurDICOM plugins (C++17, no dependency).
 *
 * It reads exactly RFC 8259: UTF-8 (checked), all escapes with surrogate pairs, numbers independent of the locale,
 * nesting to 256 levels. Integers of 64 bits stay exact. If a name occurs twice, the last value counts. It is meant for
 * parameters and measurements, not for gigabytes; a plugin that needs more uses another library.
 *
 *     const auto json = neurdicom::Json::parse(R"({"spacing": [0.5, 0.5], "name": "liver"})");
 *     json["spacing"][0].number();                      // 0.5; a wrong kind throws neurdicom::Error
 *     json["missing"].is_null();                        // true
 *     neurdicom::Json made;                             // null, and an object or array with the first member
 *     made["volume_ml"] = 12.5;
 *     made["slices"].push_back(3);
 *     made.dump();                                      // {"volume_ml":12.5,"slices":[3]}
 */
#ifndef NEURDICOM_JSON_HPP
#define NEURDICOM_JSON_HPP

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace neurdicom {

/* An error whose text the user reads: it says what was found, what is expected, and what to do. */
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/* A JSON value: null, a truth value, a number, a text, an array or an object (whose members keep their order). */
class Json {
public:
    using Array = std::vector<Json>;
    using Member = std::pair<std::string, Json>;
    using Object = std::vector<Member>;

    Json() noexcept = default;
    Json(std::nullptr_t) noexcept {}
    Json(bool value) noexcept : value_(value) {}
    Json(const char* text) : value_(std::string(text)) {}
    Json(std::string text) : value_(std::move(text)) {}
    Json(std::string_view text) : value_(std::string(text)) {}
    Json(Array values) : value_(std::move(values)) {}
    template <typename Number, std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>, int> = 0>
    Json(Number value)
    {
        if constexpr (std::is_floating_point_v<Number>) {
            value_ = static_cast<double>(value);
        } else if (std::is_unsigned_v<Number> &&
                   static_cast<std::uint64_t>(value) > std::uint64_t(std::numeric_limits<std::int64_t>::max())) {
            value_ = static_cast<double>(value);
        } else {
            value_ = static_cast<std::int64_t>(value);
        }
    }
    template <typename Element>
    Json(const std::vector<Element>& values) : value_(Array(values.begin(), values.end()))
    {
    }

    static Json object() { return Json(Value(Object{})); }
    static Json object(std::initializer_list<Member> members) { return Json(Value(Object(members))); }
    static Json array() { return Json(Array{}); }

    /* Reads one value with only white space around it. Throws Error, which names the byte. */
    static Json parse(std::string_view text);

    bool is_null() const noexcept { return std::holds_alternative<std::monostate>(value_); }
    bool is_truth() const noexcept { return std::holds_alternative<bool>(value_); }
    bool is_integer() const noexcept { return std::holds_alternative<std::int64_t>(value_); }
    bool is_number() const noexcept { return is_integer() || std::holds_alternative<double>(value_); }
    bool is_text() const noexcept { return std::holds_alternative<std::string>(value_); }
    bool is_array() const noexcept { return std::holds_alternative<Array>(value_); }
    bool is_object() const noexcept { return std::holds_alternative<Object>(value_); }

    /* The value, if it is of this kind; otherwise throws Error. */
    bool truth() const { return as<bool>("true or false"); }
    double number() const { return is_integer() ? double(std::get<std::int64_t>(value_)) : as<double>("a number"); }
    std::int64_t integer() const;
    const std::string& text() const { return as<std::string>("a text"); }
    const Array& items() const { return as<Array>("an array"); }
    const Object& members() const { return as<Object>("an object"); }

    /* Number of members of an object or elements of an array; 0 for other kinds. */
    std::size_t size() const noexcept;

    /* The member of that name; nullptr if there is none, or if this is not an object. */
    const Json* find(std::string_view name) const noexcept;

    /* The member of that name, or the element of that index; JSON null if there is none, or if this is another kind. */
    const Json& operator[](std::string_view name) const noexcept;
    const Json& operator[](const char* name) const noexcept { return (*this)[std::string_view(name)]; }
    template <typename Index, std::enable_if_t<std::is_integral_v<Index>, int> = 0>
    const Json& operator[](Index index) const noexcept
    {
        return element(static_cast<std::size_t>(index));
    }

    /* The member of that name, created if there is none. Null becomes an object; any other kind throws Error. */
    Json& operator[](std::string_view name);
    Json& operator[](const char* name) { return (*this)[std::string_view(name)]; }

    /* Adds an element. Null becomes an array; any other kind throws Error. */
    void push_back(Json value);

    /* Writes JSON text in UTF-8. Numbers that are not finite become null, since JSON can't represent them. */
    std::string dump() const;

private:
    using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object>;
    class Reader;

    explicit Json(Value value) : value_(std::move(value)) {}

    template <typename Kind>
    const Kind& as(const char* expected) const
    {
        if (const Kind* found = std::get_if<Kind>(&value_)) return *found;
        throw Error(std::string("JSON: ") + kind() + " was found, " + expected + " was expected");
    }
    const char* kind() const noexcept
    {
        static constexpr const char* names[] = {"null", "a truth value", "an integer", "a number",
                                                "a text", "an array", "an object"};
        return names[value_.index()];
    }
    static const Json& nothing() noexcept
    {
        static const Json null;
        return null;
    }
    const Json& element(std::size_t index) const noexcept
    {
        const Array* values = std::get_if<Array>(&value_);
        return values != nullptr && index < values->size() ? (*values)[index] : nothing();
    }
    void write(std::string& out) const;

    Value value_;
};

namespace detail {

/* Reads a number in the C locale, whatever setlocale() was called with. */
inline bool read_double(const char* first, const char* last, double& value)
{
#if defined(__cpp_lib_to_chars)
    const auto [end, fault] = std::from_chars(first, last, value);
    if (fault == std::errc::result_out_of_range) {  // 1e400 and 1e-400 become infinity and zero, as in other parsers
        const std::string_view text(first, std::size_t(last - first));
        const std::size_t exponent = text.find_first_of("eE");
        const bool small = exponent == std::string_view::npos ? text.substr(text.front() == '-', 2) == "0."
                                                              : text.substr(exponent + 1, 1) == "-";
        value = small ? 0.0 : std::numeric_limits<double>::infinity();
        if (text.front() == '-') value = -value;
        return true;
    }
    return fault == std::errc() && end == last;
#else
    std::istringstream stream(std::string(first, last));
    stream.imbue(std::locale::classic());
    stream >> value;
    return !stream.fail() || std::isinf(value) || value == 0.0;
#endif
}

inline void write_double(std::string& out, double value)
{
    if (!std::isfinite(value)) {
        out += "null";
        return;
    }
#if defined(__cpp_lib_to_chars)
    char text[40];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
#else
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream.precision(17);
    stream << value;
    out += stream.str();
#endif
}

inline void write_text(std::string& out, std::string_view text)
{
    static constexpr char digits[] = "0123456789abcdef";
    out += '"';
    for (const char each : text) {
        const auto code = static_cast<unsigned char>(each);
        switch (each) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
            if (code < 0x20) {
                out += "\\u00";
                out += digits[code >> 4];
                out += digits[code & 15];
            } else {
                out += each;
            }
        }
    }
    out += '"';
}

/* The number of bytes of the UTF-8 character at the start; 0 if it is not well-formed (RFC 3629). */
inline std::size_t utf8_length(std::string_view text) noexcept
{
    const auto at = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
    const unsigned char first = at(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4 : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t index = 1; index < length; ++index) {
        if ((at(index) & 0xC0) != 0x80) return 0;
    }
    const bool is_overlong = (first == 0xE0 && at(1) < 0xA0) || (first == 0xF0 && at(1) < 0x90);
    const bool is_out = (first == 0xED && at(1) > 0x9F) || (first == 0xF4 && at(1) > 0x8F);
    return is_overlong || is_out ? 0 : length;
}

}  // namespace detail

class Json::Reader {
public:
    explicit Reader(std::string_view text) : text_(text) {}

    Json whole()
    {
        Json read = value(0);
        space();
        if (at_ != text_.size()) fail("the end");
        return read;
    }

private:
    static constexpr int deepest = 256;

    [[noreturn]] void fail(const char* expected) const
    {
        throw Error("JSON: " + std::string(expected) + " was expected at byte " + std::to_string(at_));
    }
    bool ends() const noexcept { return at_ == text_.size(); }
    char peek() const noexcept { return ends() ? '\0' : text_[at_]; }
    void space() noexcept
    {
        while (!ends() && (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t')) ++at_;
    }
    bool take(char wanted) noexcept
    {
        if (ends() || peek() != wanted) return false;
        ++at_;
        return true;
    }
    void word(std::string_view wanted)
    {
        if (text_.substr(at_, wanted.size()) != wanted) fail("a value");
        at_ += wanted.size();
    }

    Json value(int depth)
    {
        if (depth > deepest) fail("an end of the nesting");
        space();
        switch (peek()) {
        case '{': return members(depth);
        case '[': return elements(depth);
        case '"': return Json(string());
        case 't': word("true"); return Json(true);
        case 'f': word("false"); return Json(false);
        case 'n': word("null"); return Json();
        default: return number();
        }
    }

    Json members(int depth)
    {
        Json made = object();
        ++at_;
        space();
        if (take('}')) return made;
        do {
            space();
            if (peek() != '"') fail("a name");
            const std::string name = string();
            space();
            if (!take(':')) fail("a colon");
            made[name] = value(depth + 1);
            space();
        } while (take(','));
        if (!take('}')) fail("a comma or }");
        return made;
    }

    Json elements(int depth)
    {
        Json made = array();
        ++at_;
        space();
        if (take(']')) return made;
        do {
            made.push_back(value(depth + 1));
            space();
        } while (take(','));
        if (!take(']')) fail("a comma or ]");
        return made;
    }

    std::size_t digits() noexcept
    {
        const std::size_t start = at_;
        while (!ends() && peek() >= '0' && peek() <= '9') ++at_;
        return at_ - start;
    }

    Json number()
    {
        const std::size_t start = at_;
        bool is_integer = true;
        take('-');
        if (!take('0') && digits() == 0) fail("a value");
        if (take('.')) {
            is_integer = false;
            if (digits() == 0) fail("a digit");
        }
        if (take('e') || take('E')) {
            is_integer = false;
            if (!take('-')) take('+');
            if (digits() == 0) fail("a digit");
        }
        const char *first = text_.data() + start, *last = text_.data() + at_;
        if (is_integer) {
            std::int64_t whole = 0;
            const auto [end, fault] = std::from_chars(first, last, whole);
            if (fault == std::errc() && end == last) return Json(whole);
        }
        double read = 0.0;
        if (!detail::read_double(first, last, read)) fail("a number");
        return Json(read);
    }

    unsigned hexadecimal()
    {
        unsigned code = 0;
        for (int index = 0; index < 4; ++index, ++at_) {
            const char each = peek();
            const int digit = each >= '0' && each <= '9' ? each - '0' : each >= 'a' && each <= 'f' ? each - 'a' + 10
                            : each >= 'A' && each <= 'F' ? each - 'A' + 10 : -1;
            if (digit < 0) fail("a hexadecimal digit");
            code = code * 16 + unsigned(digit);
        }
        return code;
    }

    void escaped(std::string& out)
    {
        const char kind = peek();
        ++at_;
        switch (kind) {
        case '"': case '\\': case '/': out += kind; return;
        case 'b': out += '\b'; return;
        case 'f': out += '\f'; return;
        case 'n': out += '\n'; return;
        case 'r': out += '\r'; return;
        case 't': out += '\t'; return;
        case 'u': break;
        default: --at_; fail("an escape");
        }
        unsigned code = hexadecimal();
        if (code >= 0xD800 && code < 0xDC00) {
            if (!take('\\') || !take('u')) fail("the second half of a surrogate pair");
            const unsigned low = hexadecimal();
            if (low < 0xDC00 || low > 0xDFFF) fail("the second half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            fail("the first half of a surrogate pair");
        }
        if (code < 0x80) {
            out += char(code);
        } else if (code < 0x800) {
            out += {char(0xC0 | (code >> 6)), char(0x80 | (code & 0x3F))};
        } else if (code < 0x10000) {
            out += {char(0xE0 | (code >> 12)), char(0x80 | ((code >> 6) & 0x3F)), char(0x80 | (code & 0x3F))};
        } else {
            out += {char(0xF0 | (code >> 18)), char(0x80 | ((code >> 12) & 0x3F)), char(0x80 | ((code >> 6) & 0x3F)),
                    char(0x80 | (code & 0x3F))};
        }
    }

    std::string string()
    {
        std::string out;
        ++at_;
        for (;;) {
            if (ends()) fail("the end of a text");
            if (take('"')) return out;
            if (take('\\')) {
                if (ends()) fail("an escape");
                escaped(out);
                continue;
            }
            if (static_cast<unsigned char>(peek()) < 0x20) fail("an escape instead of a control character");
            const std::size_t length = detail::utf8_length(text_.substr(at_));
            if (length == 0) fail("UTF-8");
            out.append(text_, at_, length);
            at_ += length;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

inline Json Json::parse(std::string_view text)
{
    return Reader(text).whole();
}

inline std::int64_t Json::integer() const
{
    if (const double* value = std::get_if<double>(&value_)) {
        // JSON does not distinguish 3.0 from 3. 2^63 is a double, but one more than an int64_t can hold.
        if (*value == std::floor(*value) && *value >= -9223372036854775808.0 && *value < 9223372036854775808.0) {
            return static_cast<std::int64_t>(*value);
        }
    }
    return as<std::int64_t>("an integer");
}

inline std::size_t Json::size() const noexcept
{
    if (const Array* values = std::get_if<Array>(&value_)) return values->size();
    if (const Object* values = std::get_if<Object>(&value_)) return values->size();
    return 0;
}

inline const Json* Json::find(std::string_view name) const noexcept
{
    if (const Object* values = std::get_if<Object>(&value_)) {
        for (const Member& each : *values) {
            if (each.first == name) return &each.second;
        }
    }
    return nullptr;
}

inline const Json& Json::operator[](std::string_view name) const noexcept
{
    const Json* found = find(name);
    return found != nullptr ? *found : nothing();
}

inline Json& Json::operator[](std::string_view name)
{
    if (is_null()) value_ = Object{};
    Object& values = const_cast<Object&>(members());
    for (Member& each : values) {
        if (each.first == name) return each.second;
    }
    values.emplace_back(std::string(name), Json());
    return values.back().second;
}

inline void Json::push_back(Json value)
{
    if (is_null()) value_ = Array{};
    const_cast<Array&>(items()).push_back(std::move(value));
}

inline void Json::write(std::string& out) const
{
    if (is_null()) {
        out += "null";
    } else if (is_truth()) {
        out += truth() ? "true" : "false";
    } else if (is_integer()) {
        out += std::to_string(integer());
    } else if (is_number()) {
        detail::write_double(out, number());
    } else if (is_text()) {
        detail::write_text(out, text());
    } else if (is_array()) {
        out += '[';
        const char* between = "";
        for (const Json& each : items()) {
            out += between;
            each.write(out);
            between = ",";
        }
        out += ']';
    } else {
        out += '{';
        const char* between = "";
        for (const Member& each : members()) {
            out += between;
            detail::write_text(out, each.first);
            out += ':';
            each.second.write(out);
            between = ",";
        }
        out += '}';
    }
}

inline std::string Json::dump() const
{
    std::string out;
    write(out);
    return out;
}

}  // namespace neurdicom

#endif
