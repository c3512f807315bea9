#include "tests/support/check.h"

#include <string.h>

#include "config/address.h"
#include "config/nearest.h"
#include "config/schema.h"

static const struct schema_key *key_at(uint32_t index)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    return index < count ? &keys[index] : NULL;
}

#define FOR_EACH_KEY(key)                               \
    for (uint32_t index_ = 0; key_at(index_); index_++) \
        for (const struct schema_key *key = key_at(index_); (key); (key) = NULL)

static bool is_number(const struct schema_key *key)
{
    return key->kind == SCHEMA_NUMBER || key->kind == SCHEMA_SIZE ||
           key->kind == SCHEMA_DURATION || key->kind == SCHEMA_DURATION_US;
}

static void every_path_is_there_once(void **state)
{
    (void)state;
    FOR_EACH_KEY(key)
    {
        CHECK(schema_find(key->path) == key);
    }
    CHECK(!schema_find("cluster.shard"));
    CHECK(!schema_find(""));
}

static void every_key_stands_below_a_part_before_it(void **state)
{
    (void)state;
    FOR_EACH_KEY(key)
    {
        const char *dot = strrchr(key->path, '.');
        if (!dot) {
            continue;
        }
        char parent[SCHEMA_PATH_BYTES] = "";
        memcpy(parent, key->path, (size_t)(dot - key->path));
        CHECK(schema_child_name(key, parent));
        assert_string_equal(schema_child_name(key, parent), dot + 1);
        char *bracket = strstr(parent, "[]");
        if (bracket) {
            *bracket = '\0';
        }
        const struct schema_key *above = schema_find(parent);
        CHECK(above && above < key);
        CHECK(above->kind == (bracket ? SCHEMA_LIST : SCHEMA_PART));
    }
}

static void every_key_is_explained(void **state)
{
    (void)state;
    FOR_EACH_KEY(key)
    {
        char allowed[SCHEMA_ALLOWED_BYTES];
        schema_allowed(allowed, key);
        CHECK(*allowed && strlen(allowed) < sizeof allowed - 1);
        CHECK(strlen(key->text) > 30);
        CHECK(key->text[strlen(key->text) - 1] == '.');
        CHECK(*schema_kind_text(key->kind));
        CHECK(!(key->standard && key->derived));
    }
}

static void every_bound_fits_its_variable(void **state)
{
    (void)state;
    FOR_EACH_KEY(key)
    {
        if (!is_number(key)) {
            continue;
        }
        CHECK(key->min <= key->max);
        CHECK(key->size == 8 || key->max < UINT64_C(1) << 8 * key->size);
        /* rules.c multiplies by up to three. */
        CHECK(key->max < UINT64_MAX / 3);
    }
}

static void every_default_is_within_its_bounds(void **state)
{
    (void)state;
    static struct settings settings;
    static struct settings_member member;
    static struct settings_pool pool;
    FOR_EACH_KEY(key)
    {
        void *base = strncmp(key->path, "cluster.nodes[]", 15) == 0 ? &member
                     : strncmp(key->path, "cluster.pools[]", 15) == 0
                         ? &pool
                         : (void *)&settings;
        if (!key->standard || key->kind == SCHEMA_ROLES) {
            continue;
        }
        char text[SCHEMA_VALUE_BYTES];
        CHECK_OK(schema_read(key, base, key->standard, NULL));
        schema_write(text, key, base);
        assert_string_equal(text, key->standard);
    }
}

static void a_number_is_taken_from_min_to_max(void **state)
{
    (void)state;
    static struct settings settings;
    const struct schema_key *key = schema_find("cluster.limits.frame_bytes");
    uint64_t *value = &settings.cluster.limits.frame_bytes;
    struct err_detail why = {.text = ""};
    CHECK_OK(schema_read(key, &settings, "4KiB", &why));
    assert_int_equal(*value, 4096);
    CHECK_OK(schema_read(key, &settings, "256KiB", &why));
    CHECK_ERR(schema_read(key, &settings, "4095", &why), ERR_INVALID);
    assert_string_equal(why.text, "which is too small");
    CHECK_ERR(schema_read(key, &settings, "262145", &why), ERR_INVALID);
    assert_string_equal(why.text, "which is too large");
    CHECK_ERR(schema_read(key, &settings, "99999999999999999999", &why),
              ERR_INVALID);
    assert_string_equal(why.text, "which is too large");
    assert_int_equal(*value, 256 << 10);
}

static void a_range_of_ports_has_two_ends(void **state)
{
    (void)state;
    struct settings_member member = {.port = 1};
    const struct schema_key *key = schema_find("cluster.nodes[].link_ports");
    CHECK_OK(schema_read(key, &member, "7700-8723", NULL));
    assert_int_equal(member.link_ports.first, 7700);
    assert_int_equal(member.link_ports.last, 8723);
    CHECK_OK(schema_read(key, &member, "65535-65535", NULL));
    static const char *const wrong[] = {
        "7700",       "7700-",       "-8723",       "8723-7700", "0-10",
        "1-65536",    "7700 - 8723", "7700-8723-9", "a-b",       "",
        "1-99999999", "07700-8723",  "7700–8723",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_ERR(schema_read(key, &member, wrong[i], NULL), ERR_INVALID);
    }
    assert_int_equal(member.link_ports.first, 65535);
}

static void knows_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "localhost",     "n1",           "10.0.0.1",   "::1",     "fe80::1",
        "a.b-c.example", "3com.example", "node_1.svc", "0.0.0.0", "2001:db8::7",
    };
    static const char *const others[] = {
        "",        "a b", "-a",       "a-",         "a..b",
        ".a",      "a.",  "1.2.3",    "1.2.3.4.5",  "256.1.1.1",
        "[::1]",   "::g", "a:7600",   "tcp://a",    "a/b",
        "host:80", "*",   "häuschen", "10.0.0.1/8",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        CHECK(address_is_host(hosts[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK(!address_is_host(others[i]));
    }
}

#define TEN "aaaaaaaaaa"
/* One byte more than a socket's path may have. */
#define LONG_SOCKET "ipc:///" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "aaaaaaa"

static void knows_addresses_of_doors(void **state)
{
    (void)state;
    static const char *const doors[] = {
        "tcp://10.0.0.1:7600",   "tcp://[::1]:1",
        "tcp://a.example:65535", "ws://a:80/door",
        "ws://[::1]:80/door",    "ipc:///run/troupe/n1-door.ipc",
    };
    static const char *const others[] = {
        "",
        "10.0.0.1:7600",
        "tcp://",
        "tcp://a",
        "tcp://a:0",
        "tcp://a:65536",
        "tcp://a:7600/",
        "tcp://::1:7600",
        "tcp://[a]:7600",
        "tcp://[::1:7600",
        "tcp://:7600",
        "ws://a:80",
        "ws://a:80/",
        "ws://a:80/bus",
        "wss://a:80/door",
        "ipc://run/x",
        "http://a:80/door",
        LONG_SOCKET,
    };
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        CHECK(address_is_door(doors[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK(!address_is_door(others[i]));
    }
}

static const char *nearest_key(const char *path)
{
    const struct schema_key *key = schema_nearest(path);
    return key ? key->path : "";
}

static void names_the_nearest_key(void **state)
{
    (void)state;
    assert_string_equal(nearest_key("cluster.shard"), "cluster.shards");
    assert_string_equal(nearest_key("clutser.shards"), "cluster.shards");
    assert_string_equal(nearest_key("link_windw"),
                        "cluster.limits.link_window");
    assert_string_equal(nearest_key("zzzzzz"), "");
    assert_string_equal(nearest_key(""), "");
}

static uint32_t distance(const char *name, const char *candidate)
{
    struct nearest nearest = {.name = name};
    nearest_offer(&nearest, candidate);
    return nearest.best ? nearest.distance : UINT32_MAX;
}

static void measures_how_far_names_are_apart(void **state)
{
    (void)state;
    assert_int_equal(distance("shards", "shards"), 0);
    assert_int_equal(distance("Shards", "shards"), 0);
    assert_int_equal(distance("shard", "shards"), 1);
    assert_int_equal(distance("sahrds", "shards"), 1);
    assert_int_equal(distance("shrads", "shards"), 1);
    assert_int_equal(distance("sharks", "shards"), 1);
    assert_int_equal(distance("hards", "shards"), 1);
    assert_int_equal(distance("hrads", "shards"), 2);
    assert_true(distance("banana", "shards") == UINT32_MAX);
    assert_true(distance("", "a") == UINT32_MAX);
}

static void is_not_upset_by_long_names(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_true(distance(name, "shards") == UINT32_MAX);
    assert_true(distance("shards", name) == UINT32_MAX);
    CHECK(!schema_nearest(name));
    name[NEAREST_NAME_BYTES] = '\0';
    assert_int_equal(distance(name, name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_is_there_once),
        cmocka_unit_test(every_key_stands_below_a_part_before_it),
        cmocka_unit_test(every_key_is_explained),
        cmocka_unit_test(every_bound_fits_its_variable),
        cmocka_unit_test(every_default_is_within_its_bounds),
        cmocka_unit_test(a_number_is_taken_from_min_to_max),
        cmocka_unit_test(a_range_of_ports_has_two_ends),
        cmocka_unit_test(knows_hosts),
        cmocka_unit_test(knows_addresses_of_doors),
        cmocka_unit_test(names_the_nearest_key),
        cmocka_unit_test(measures_how_far_names_are_apart),
        cmocka_unit_test(is_not_upset_by_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
