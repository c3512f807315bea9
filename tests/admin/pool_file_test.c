#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "admin/pool_file.h"

static void reads(const char *text, const char *expected)
{
    json_t *list = NULL;
    struct err_detail why = {{0}};
    CHECK_OK(pool_file_read(&list, bytes_of_text(text), "p.yaml", &why));
    char *json = json_dumps(list, JSON_COMPACT);
    assert_string_equal(json, expected);
    free(json);
    json_decref(list);
}

static void refuses(const char *text, const char *expected)
{
    json_t *list = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(pool_file_read(&list, bytes_of_text(text), "p.yaml", &why),
              ERR_INVALID);
    assert_string_equal(why.text, expected);
    CHECK(!list);
}

static void reads_a_pool_or_many(void **state)
{
    (void)state;
    reads("name: a\nworkers: 3\n", "[{\"name\":\"a\",\"workers\":3}]");
    reads("- name: a\n- name: b\n", "[{\"name\":\"a\"},{\"name\":\"b\"}]");
    reads("pools:\n  - name: a\n", "[{\"name\":\"a\"}]");
    reads("node:\n  name: x\ncluster:\n  pools:\n    - name: a\n",
          "[{\"name\":\"a\"}]");
    reads("{\"name\": \"a\", \"commands\": [\"wc\"], \"paused\": true}",
          "[{\"name\":\"a\",\"commands\":[\"wc\"],\"paused\":true}]");
}

static void takes_units_and_the_names_of_the_clusters_file(void **state)
{
    (void)state;
    reads("name: a\nlease: 30s\nretry_backoff_min: 2s\n"
          "retry_backoff_max: 1m\ntimeout: 1500\nmemory_bytes: 64MiB\n",
          "[{\"name\":\"a\",\"lease_ms\":30000,\"backoff_min_ms\":2000,"
          "\"backoff_max_ms\":60000,\"timeout_ms\":1500,"
          "\"memory_bytes\":67108864}]");
    reads("name: a\nshares:\n  ann: 3\n",
          "[{\"name\":\"a\",\"shares\":[[\"ann\",3]]}]");
    reads("{\"name\": \"a\", \"version\": 7, \"shares\": [[\"ann\", 3]]}",
          "[{\"name\":\"a\",\"shares\":[[\"ann\",3]]}]");
}

static void reads_schedules(void **state)
{
    (void)state;
    reads("name: a\n"
          "any_command: true\n"
          "schedules:\n"
          "  - name: nightly\n"
          "    cron: 30 2 * * *\n"
          "    payload: {argv: [sleep, \"5\"], stdin: ~}\n"
          "    catch_up: 2h\n"
          "    overlap: skip\n"
          "    timeout: 10m\n"
          "    attempts_max: 1\n"
          "    tenant: ann\n",
          "[{\"name\":\"a\",\"any_command\":true,\"schedules\":[{\"name\":"
          "\"nightly\",\"cron\":\"30 2 * * *\",\"payload\":{\"argv\":"
          "[\"sleep\",\"5\"],\"stdin\":null},\"catch_up_ms\":7200000,"
          "\"overlap\":\"skip\",\"timeout_ms\":600000,\"attempts_max\":1,"
          "\"tenant\":\"ann\"}]}]");
    reads("{\"name\": \"a\", \"handler\": \"function\", \"function\": \"f\","
          " \"schedules\": [{\"name\": \"n\", \"cron\": \"@daily\","
          " \"since_ms\": 5, \"payload\": [1, -2.5, true, \"3\"]}]}",
          "[{\"name\":\"a\",\"handler\":\"function\",\"function\":\"f\","
          "\"schedules\":[{\"name\":\"n\",\"cron\":\"@daily\","
          "\"payload\":[1,-2.5,true,\"3\"]}]}]");
}

#define SCHEDULE "name: a\nany_command: true\nschedules:\n  - name: n\n"

static void says_what_is_wrong_with_a_schedule(void **state)
{
    (void)state;
    refuses(SCHEDULE "    cron: 61 * * * *\n",
            "p.yaml:5:5: cron: minute: found \"61\"; allowed: 0 to 59, rising "
            "ranges, and * for all");
    refuses(SCHEDULE "    cron: 0 0 30 2 *\n",
            "p.yaml:5:5: cron: day of month: found \"30\" with the month "
            "\"2\"; allowed: days that such a month has");
    refuses(SCHEDULE "    when: \"@daily\"\n",
            "p.yaml:4:5: a schedule is a map, with a `name` and a `cron`");
    refuses(SCHEDULE "    cron: \"@daily\"\n    overlaps: skip\n",
            "p.yaml:6:5: overlaps: a schedule has no such field; did you mean "
            "overlap?");
    refuses(SCHEDULE "    cron: \"@daily\"\n    argv: [date]\n",
            "p.yaml:6:5: argv: a schedule has no such field; allowed: name, "
            "cron, payload, tenant, overlap, priority, ttl_ms, timeout_ms, "
            "attempts_max, catch_up_ms, since_ms");
    refuses(SCHEDULE "    cron: \"@daily\"\n    catch_up: 1x\n",
            "p.yaml:6:5: catch_up_ms: found 1x; allowed: a time, such as 30s");
    refuses(SCHEDULE "    cron: \"@daily\"\n    payload: {argv: [sleep, 5]}\n",
            "p.yaml:1:1: schedules: n: payload: of a pool that runs commands "
            "{argv: [text, ...], stdin: text} is expected");
    refuses("name: a\nschedules: daily\n",
            "p.yaml:2:1: schedules: a list of them is expected");
    refuses("name: a\ndurable: false\nhandler: function\nfunction: f\n"
            "schedules:\n  - {name: n, cron: \"@daily\"}\n",
            "p.yaml:1:1: schedules: only durable pools may have some: those of "
            "others would go with a leader");
}

static void says_where_and_what_is_wrong(void **state)
{
    (void)state;
    refuses("name: a\nworker: 3\n",
            "p.yaml:2:1: worker: a pool has no such field; did you mean "
            "workers?");
    refuses("name: a\nworkers: many\n",
            "p.yaml:2:1: workers: found many; allowed: a whole number");
    refuses("name: a\nlease: 3x\n",
            "p.yaml:2:1: lease_ms: found 3x; allowed: a time, such as 30s");
    refuses("name: a\ndurable: perhaps\n",
            "p.yaml:2:1: durable: found perhaps; allowed: true or false");
    refuses("name: a\nlease: 30s\nlease_ms: 30000\n",
            "p.yaml:3:1: lease_ms: is there twice");
    refuses("name: a\ncommands: wc\n",
            "p.yaml:2:1: commands: a list of texts is expected");
    refuses("- name: a\n- workers: 3\n",
            "p.yaml:2:3: a pool is a map, with a `name`");
    refuses("- name: a\n- name: b\n  workers: 2000\n",
            "p.yaml:2:3: workers: 2000 is not between 0 and 1024");
    refuses("name: a\nhandler: magic\n",
            "p.yaml:1:1: handler: `magic` is none; exec, function or plugin "
            "are allowed");
    refuses("pools: none\n", "p.yaml:1:1: a list of pools is expected");
    refuses("name: a\nshares: [3]\n",
            "p.yaml:2:10: shares: a tenant and a whole number are expected");
}

static void completes_a_definition_with_defaults(void **state)
{
    (void)state;
    json_t *whole = NULL;
    struct err_detail why = {{0}};
    json_t *own = json_pack("{s:s, s:i}", "name", "a", "workers", 9);
    CHECK_OK(pool_file_complete(&whole, own, &why));
    CHECK(json_integer_value(json_object_get(whole, "workers")) == 9);
    CHECK(json_is_true(json_object_get(whole, "durable")));
    CHECK(json_integer_value(json_object_get(whole, "attempts_max")) == 5);
    json_decref(whole);
    json_decref(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_pool_or_many),
        cmocka_unit_test(takes_units_and_the_names_of_the_clusters_file),
        cmocka_unit_test(reads_schedules),
        cmocka_unit_test(says_what_is_wrong_with_a_schedule),
        cmocka_unit_test(says_where_and_what_is_wrong),
        cmocka_unit_test(completes_a_definition_with_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
