"""The mistakes: each breaks one promise by the change of a line or two.

Where a promise is kept in one place, its mistake is made there; where the engine or a database is
needed to see the difference, the named test runs against a real one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake.

    Attributes:
        name: what is done wrong.
        promise: what it breaks.
        file: where, below ``listener/``.
        old: the source as it is; stands there exactly once.
        new: what it is replaced by.
        caught_by: the test that has to fail, by pytest's node id below ``tests/``.
    """

    name: str
    promise: str
    file: str
    old: str
    new: str
    caught_by: str


MUTANTS = (
    # What was known first.
    Mutant(
        "asking before listing",
        "the answer comes after the resource was known",
        "control/reconciler.py",
        """\
        resources = self.index.resources(prefix)
        if not resources:
            return Outcome()
        answers, verdicts = self._judge_by_new_answers(resources)
""",
        """\
        answers = self._judge.ask({prefix})
        resources = self.index.resources(prefix)
        if not resources:
            return Outcome()
        self._judge.observe(answers, resources)
        verdicts = {r.id: self._judge.weigh(r, answers, self._engine_now) for r in resources}
""",
        "unit/test_reconciler.py::test_the_question_comes_after_the_resource_was_known",
    ),
    Mutant(
        "telling of removals at the end of a reap",
        "what was removed is told as soon as it is gone",
        "control/reconciler.py",
        "            for removal in self._reap(doomed, permit):\n",
        "            for removal in list(self._reap(doomed, permit)):\n",
        "unit/test_reconciler.py::test_each_removal_is_told_as_soon_as_it_has_ended",
    ),
    Mutant(
        "saying that a removal begins before it may",
        "what is said to go was seen to be ours and to have no row",
        "control/reconciler.py",
        "        permit = self._permit(doomed, asked_at, now, permitted, begin)\n",
        "        begin()\n        permit = self._permit(doomed, asked_at, now, permitted, begin)\n",
        "unit/test_reconciler.py::test_what_is_seen_to_be_foreign_is_not_said_to_begin",
    ),
    Mutant(
        "saying that something is still there, and not why it is to go",
        "every removal that was tried is said to begin, with its evidence",
        "control/reconciler.py",
        "            if not begun and any(r.result",
        "            if False and any(r.result",
        "unit/test_reconciler.py::test_what_is_still_there_before_it_was_permitted_is_said_to_begin",
    ),
    Mutant(
        "skipping the list after a reconnect",
        "what happened while a stream was cut is found",
        "engine/watch.py",
        """\
        try:
            self._list()
        except BaseException:
""",
        """\
        try:
            if not self.__dict__.setdefault("connected", False):
                self._list()
            self.__dict__["connected"] = True
        except BaseException:
""",
        "engine/test_watch.py::test_a_connection_that_went_silent_is_given_up_and_found_anew",
    ),
    Mutant(
        "dropping the replay",
        "what happens while the list is under way is not missed",
        "engine/watch.py",
        """\
            self._list()
        except BaseException:
""",
        """\
            self._list()
            import json
            listed, apply = self._engine.now(), self._mirror.apply
            self._mirror.apply = lambda *events: apply(
                *(event for event in events if json.loads(event)["time"] >= listed)
            )
        except BaseException:
""",
        "engine/test_overlap.py::test_what_happened_right_before_the_subscription_is_replayed",
    ),
    Mutant(
        "replaying one event after the other",
        "what is gone is never said to be there",
        "engine/mirror.py",
        "id_ not in gone and ",
        "",
        "unit/test_watch.py::test_what_came_and_went_within_the_replay_was_never_there",
    ),
    Mutant(
        "taking in what was over before the listing",
        "what is gone is never said to be there",
        "engine/mirror.py",
        " and not self._is_over(event, id_)",
        "",
        "unit/test_watch.py::test_what_was_gone_before_the_listing_was_never_there",
    ),
    Mutant(
        "subscribing from now on only",
        "what happens while the subscription is made is not missed",
        "engine/watch.py",
        "self._engine.events(self._connected_at - OVERLAP, self._quiet)",
        "self._engine.events(self._connected_at, self._quiet)",
        "engine/test_overlap.py::test_what_happened_right_before_the_subscription_is_replayed",
    ),
    # What belongs to whom.
    Mutant(
        "substring matching",
        "what is not DECNET's is never removed",
        "core/ownership.py",
        "_NAME.fullmatch(name)",
        "_NAME.search(name)",
        "unit/test_ownership.py::test_a_name_counts_only_when_it_matches_in_full",
    ),
    Mutant(
        "a line break ends a LAN's name",
        "a LAN may have any name that Docker takes",
        "core/ownership.py",
        """_.+", re.DOTALL)""",
        """_.+")""",
        "unit/test_ownership.py::test_a_bridge_network_is_known_by_its_name",
    ),
    Mutant(
        "ignoring the label",
        "a container lives and dies with the full id that its label names",
        "core/ownership.py",
        "        if (value := labels.get(label)) is None:\n",
        "        if label == ID_LABEL or (value := labels.get(label)) is None:\n",
        "unit/test_ownership.py::"
        "test_every_signal_names_an_owner_and_a_full_id_supersedes_its_own_prefix",
    ),
    Mutant(
        "counting an inherited label",
        "what an analyst starts from a topology's image stays",
        "core/ownership.py",
        "        elif image_labels and image_labels.get(label) == value:\n",
        "        elif False:\n",
        "unit/test_ownership.py::"
        "test_a_label_that_the_image_carries_with_the_same_value_does_not_count",
    ),
    Mutant(
        "counting labels whose image is gone",
        "a label that may be inherited is no reason to remove anything",
        "core/ownership.py",
        "doubtful=image_labels is LOST and not signals[-1].owner",
        "doubtful=False",
        "unit/test_ownership.py::"
        "test_labels_whose_image_is_gone_keep_a_container_alive_and_are_no_reason_to_remove_it",
    ),
    Mutant(
        "removing what is doubtful",
        "a container whose labels may be inherited is held",
        "core/judge.py",
        "        if resource.doubtful and verdict.state is not State.WAITING:\n",
        "        if False:\n",
        "unit/test_judge.py::test_what_is_doubtful_is_alive_with_its_row_and_held_without",
    ),
    Mutant(
        "taking what seemed certain for what is doubtful",
        "what turns out to be doubtful when it is read is not removed",
        "core/resources.py",
        "found.doubtful <= self.doubtful",
        "True",
        "unit/test_reconciler.py::test_what_turns_out_doubtful_when_it_is_read_is_held",
    ),
    Mutant(
        "believing any compose",
        "what another's compose made of a topology's image is not the topology's",
        "core/ownership.py",
        "    return {} if is_decnets and labels",
        "    return {} if labels",
        "unit/test_ownership.py::"
        "test_what_decnets_compose_made_has_its_labels_whatever_became_of_its_image",
    ),
    Mutant(
        "taking a doubtful container's row for a sign",
        "what is doubtful says nothing about the database that has its row",
        "core/judge.py",
        "evidence.observe(answer, owners | absent)",
        "evidence.observe(answer, doubtful)",
        "unit/test_judge.py::test_the_row_of_what_is_doubtful_vouches_for_nothing",
    ),
    Mutant(
        "taking a doubtful container for its topology",
        "what appears beside something doubtful has appeared under watch",
        "control/inventory.py",
        """\
        if not resource.doubtful:
            self._by_owner""",
        """\
        if True:
            self._by_owner""",
        "unit/test_unproven.py::test_what_is_doubtful_neither_appears_nor_hides_what_does",
    ),
    Mutant(
        "taking a name's word",
        "what is known by its name only is read again by id right before it is removed",
        "control/reaper.py",
        "        if again or not resource.verified:\n",
        "        if False:\n",
        "unit/test_reaper.py::test_what_has_other_owners_than_it_seemed_to_have_is_not_removed",
    ),
    Mutant(
        "removing what is protected",
        "what carries topology-reaper.protect=true is never touched",
        "core/ownership.py",
        '    return labels.get(PROTECT_LABEL) == "true"\n',
        "    return False\n",
        "unit/test_ownership.py::"
        "test_a_protected_container_is_never_ours_whether_it_inherits_that_or_not",
    ),
    Mutant(
        "removing what is cluster-wide",
        "an overlay network is never ours",
        "core/ownership.py",
        '    if driver != "bridge" or scope != "local":\n',
        "    if False:\n",
        "unit/test_ownership.py::test_a_network_that_is_no_local_bridge_is_never_ours",
    ),
    Mutant(
        "cleaning up volumes too",
        "named volumes are never ours",
        "engine/client.py",
        """\
                self.api.remove_container(resource.id, v=not self._keep_volumes, force=True)
""",
        """\
                mounts = self.api.inspect_container(resource.id)["Mounts"]
                self.api.remove_container(resource.id, v=not self._keep_volumes, force=True)
                for mount in mounts:
                    self.api.remove_volume(mount["Name"])
""",
        "engine/test_what_stays.py::test_named_volumes_stay_and_anonymous_ones_with_keep_volumes",
    ),
    Mutant(
        "taking a name of 64 digits for none",
        "a volume that somebody named is never ours",
        "engine/client.py",
        "            if ANONYMOUS in labels or not (marks_all or labels):\n",
        "            if True:\n",
        "unit/test_objects.py::test_a_volume_goes_if_the_engine_marks_it_as_anonymous",
    ),
    Mutant(
        "keeping volumes half",
        "--keep-volumes keeps inherited volumes too",
        "engine/client.py",
        "        if self._keep_volumes or self.is_podman:",
        "        if self.is_podman:",
        "engine/test_what_stays.py::"
        "test_an_anonymous_volume_that_was_inherited_goes_with_the_last_container_that_mounts_it",
    ),
    Mutant(
        "removing the volumes of what others removed",
        "a volume goes only with a container that was removed by us",
        "control/volumes.py",
        "        if removal.result is not Result.REMOVED or not mine:\n",
        "        if not mine:\n",
        "unit/test_reconciler.py::test_volumes_go_only_with_containers_that_we_removed",
    ),
    Mutant(
        "removing images unasked",
        "without --images no image goes",
        "runtime/sweep.py",
        "            list_images=engine.images if settings.images else None,\n",
        "            list_images=engine.images,\n",
        "engine/test_built_images.py::"
        "test_without_the_option_none_goes_and_a_dry_run_names_those_that_would",
    ),
    Mutant(
        "taking a label for a claim",
        "an image that was made of one of compose's is somebody's own",
        "core/ownership.py",
        "built.groups() != (found[0], labels.get(COMPOSE_SERVICE_LABEL))",
        "built[1] != found[0]",
        "unit/test_ownership.py::"
        "test_an_image_is_composes_own_by_the_one_name_that_compose_gives_it",
    ),
    Mutant(
        "removing what an analyst has committed",
        "an image with the labels of a container stays",
        "core/ownership.py",
        "    if found is None or of_container or _protected(labels):\n",
        "    if found is None or _protected(labels):\n",
        "unit/test_ownership.py::"
        "test_an_image_is_composes_own_by_the_one_name_that_compose_gives_it",
    ),
    Mutant(
        "passing over another name",
        "an image that is tagged twice stays",
        "core/ownership.py",
        "if tags and len(called) == 1 else None\n",
        "if tags else None\n",
        "unit/test_ownership.py::"
        "test_an_image_is_composes_own_by_the_one_name_that_compose_gives_it",
    ),
    Mutant(
        "forcing an image off",
        "an image that any container uses stays, by the engine's own word",
        "engine/images.py",
        "    api.remove_image(image.id, noprune=True)\n",
        "    api.remove_image(image.id, noprune=True, force=True)\n",
        "engine/test_built_images.py::test_an_image_that_is_wanted_again_in_the_last_moment_stays",
    ),
    Mutant(
        "removing an image's parents",
        "no image goes but those that compose built",
        "engine/images.py",
        "    api.remove_image(image.id, noprune=True)\n",
        "    api.remove_image(image.id)\n",
        "engine/test_built_images.py::"
        "test_an_image_goes_after_the_last_container_and_one_that_anybody_wants_stays",
    ),
    Mutant(
        "judging an image by who ran it",
        "an image stays while any row has the prefix in its label",
        "core/judge.py",
        "*(resource.prefixes if resource.kind is Kind.IMAGE else ())}",
        "}",
        "unit/test_reconciler.py::test_images_stay_while_any_row_has_their_prefix",
    ),
    Mutant(
        "removing images first",
        "images go when nothing else of their topology is left",
        "control/images.py",
        "            if prefix not in busy and ",
        "            if ",
        "unit/test_reconciler.py::test_images_stay_while_anything_else_of_the_prefix_is_here",
    ),
    Mutant(
        "listing images in the work on a topology",
        "nothing else, and no record of it, waits for images",
        "control/controller.py",
        "            self.reconcile_lane.add(IMAGES)\n",
        "            self._reap_images()\n",
        "engine/test_built_images.py::test_nothing_else_waits_for_the_list_of_images",
    ),
    Mutant(
        "forgetting on what evidence a topology went before its images do",
        "images go by the evidence of what went before them",
        "control/reconciler.py",
        "self.index.owners() | self.images.owners\n",
        "self.index.owners()\n",
        "unit/test_reconciler.py::test_images_go_by_the_evidence_of_what_was_removed_before_them",
    ),
    Mutant(
        "waiting for images that are alone",
        "of images alone only those go whose row was seen or reported deleted",
        "control/images.py",
        "            and (prefix in noted or not verdicts[image.id].timed)\n",
        "",
        "unit/test_reconciler.py::"
        "test_images_alone_go_if_their_row_was_seen_and_their_absence_is_never_waited_for",
    ),
    Mutant(
        "letting an image vouch",
        "an image is no sign that a database owns what is on this host",
        "core/judge.py",
        "        certain = [r for r in resources if not (r.doubtful or r.kind is Kind.IMAGE)]\n",
        "        certain = [r for r in resources if not r.doubtful]\n",
        "unit/test_reconciler.py::test_an_image_vouches_for_no_database",
    ),
    Mutant(
        "disconnecting a DECNET endpoint",
        "a network that something of DECNET's is on is left alone",
        "control/reaper.py",
        "            if endpoint.ours:\n",
        "            if False:\n",
        "unit/test_reaper.py::test_an_endpoint_with_decnets_marks_is_never_disconnected",
    ),
    # Which engine is meant.
    Mutant(
        "passing over the current context",
        "the engine is the one that Docker's own tools would use",
        "runtime/contexts.py",
        "    if not settings.docker_host and not context and settings.docker_config:\n",
        "    if False:\n",
        "unit/test_contexts.py::test_what_is_given_more_closely_counts",
    ),
    Mutant(
        "taking the context of whoever pastes the command",
        "the command that releases what is held names the engine of the listener",
        "runtime/command.py",
        "    if ours == theirs and (inside or any(theirs)):\n",
        "    if ours == theirs:\n",
        "unit/test_command.py::test_it_names_the_engine_of_a_context_to_whoever_has_another",
    ),
    # Who only looks changes nothing.
    Mutant(
        "trying a removal on what may exist",
        "doctor asks to remove only what the engine does not know",
        "cli/doctor/engine.py",
        "        if silent or call.unless in refused:\n",
        "        if silent:\n",
        "engine/doctor/test_engine.py::test_nothing_is_tried_on_an_id_that_may_exist",
    ),
    Mutant(
        "leaving files beside a database that was only looked at",
        "doctor changes no file",
        "databases/sqlite/file.py",
        "if self._traceless and self._at_rest()",
        "if False",
        "engine/doctor/test_healthy.py::test_all_is_well_and_stays_as_it_is",
    ),
    # What is an answer.
    Mutant(
        "trusting an error as empty",
        "an error is no answer",
        "databases/sqlite/table.py",
        """\
            raise self.no_answer(error, aspect) from error
        file.check()
""",
        """\
        file.check()
""",
        "database/test_topologies.py::test_a_database_that_is_not_decnets_is_no_answer",
    ),
    Mutant(
        "reading where no memory is shared",
        "SQLite through FUSE is no answer in WAL mode",
        "databases/sqlite/file.py",
        "        if self._kind:\n",
        "        if False:\n",
        "database/test_shared_memory.py"
        "::test_through_fuse_a_database_in_wal_mode_is_not_even_opened",
    ),
    Mutant(
        "trusting -shm alone",
        "a reader that does not share memory with the writer is not current",
        "databases/sqlite/wal.py",
        "    return _unseen_now(shm, wal)\n",
        "    return False\n",
        "database/test_shared_memory.py"
        "::test_of_a_writer_behind_fuse_every_answer_is_right_or_may_be_behind",
    ),
    Mutant(
        "answering from pages read before",
        "a reader that does not share memory with the writer is not current",
        "databases/sqlite/table.py",
        '"PRAGMA shrink_memory"',
        '"SELECT 1"',
        "database/test_shared_memory.py"
        "::test_of_a_writer_behind_fuse_every_answer_is_right_or_may_be_behind",
    ),
    Mutant(
        "reporting what an older file lacks",
        "only what was deleted is reported",
        "databases/sqlite/changes.py",
        " or self.earliest < earlier.latest",
        "",
        "database/test_overwritten_file.py"
        "::test_the_rows_that_a_file_loses_as_it_goes_back_are_no_deletions",
    ),
    Mutant(
        "reporting the rows of a table that was made again",
        "only what was deleted is reported",
        "databases/sqlite/changes.py",
        "self.table != earlier.table or ",
        "",
        "database/test_sqlite_feed.py::test_rows_that_are_not_seen_any_more_are_no_deletions",
    ),
    Mutant(
        "telling all hosts of a row that concerns one",
        "a deletion is announced to the hosts that it concerns",
        "databases/sqlite/feed.py",
        "                        if self._precise:\n",
        "                        if False:\n",
        "database/test_sqlite_feed.py::test_for_many_hosts_it_says_which_rows_wherever_it_can",
    ),
    Mutant(
        "passing over what went and was not told",
        "a deletion is heard of at once",
        "databases/sqlite/changes.py",
        "    if not {str(id_).lower() for id_ in gone} <= {*deleted}:\n",
        "    if False:\n",
        "database/test_sqlite_feed.py::test_for_many_hosts_it_says_which_rows_wherever_it_can",
    ),
    Mutant(
        "passing over what may have gone as it was named",
        "a deletion is heard of at once",
        "databases/sqlite/changes.py",
        "        return None  # a row may have come and gone unseen\n",
        "        pass\n",
        "database/test_sqlite_feed.py::test_for_many_hosts_it_says_which_rows_wherever_it_can",
    ),
    Mutant(
        "passing over what cannot be read in the binary log",
        "a deletion is heard of at once",
        "databases/mysql/connection.py",
        "                raise AnyRow(kind, event)\n",
        "                continue\n",
        "servers/test_feeds.py::test_what_is_compressed_may_have_taken_any_row",
    ),
    Mutant(
        "listening to a replica whose log has nothing of what it applies",
        "a deletion is heard of at once",
        "databases/mysql/requirements.py",
        "    if unlogged and ",
        "    if False and ",
        "servers/test_currency_mysql.py::test_a_replica_is_polled_unless_it_logs_what_it_applies",
    ),
    Mutant(
        "trusting a file without what was written last",
        "an error is no answer",
        "databases/sqlite/file.py",
        "        if found.mounted:\n",
        "        if False:\n",
        "database/test_topologies.py::test_a_file_that_is_mounted_without_its_folder_is_no_answer",
    ),
    Mutant(
        "trusting a server's error as empty",
        "an error is no answer",
        "databases/server.py",
        'raise self.no_answer(error, "table") from error',
        "pass",
        "servers/test_answers.py::test_a_table_without_the_column_is_no_answer",
    ),
    Mutant(
        "trusting a standby",
        "a replica's answer is no answer",
        "databases/server.py",
        "        if identity.replica and not self._allow_replica:\n",
        "        if False:\n",
        "servers/test_changed_servers.py::"
        "test_a_standby_gives_no_answer_and_notifies_nobody_until_it_is_promoted",
    ),
    Mutant(
        "trusting a MariaDB replica that may be written to",
        "whoever has a source may be behind it",
        "databases/mysql/origin.py",
        "_replica_of([*_addresses(sources)], in",
        "_replica_of([], in",
        "servers/test_currency_mysql.py::test_a_replica_that_may_be_written_to_may_be_behind_until_it_is_promoted",
    ),
    Mutant(
        "taking sources that are not shown for none",
        "an account that cannot see proves nothing",
        "databases/mysql/origin.py",
        "        if not may_be:\n",
        "        if True:\n",
        "servers/test_currency_mysql.py::test_a_server_that_never_was_a_replica_is_current_until_it_is_given_a_source",
    ),
    Mutant(
        "reading what a Galera node has applied so far",
        "each question sees what was committed before it, on any node of a cluster",
        "databases/mysql/origin.py",
        "SET SESSION wsrep_sync_wait = 1, ",
        "SET SESSION ",
        "servers/test_currency_mysql.py::test_a_node_of_a_cluster_waits_for_the_others_and_says_nothing_when_cut_off",
    ),
    Mutant(
        "trusting a table with hidden rows",
        "under row-level security there is no answer",
        "databases/postgres/table.py",
        "        if hidden:\n",
        "        if False:\n",
        "servers/test_answers.py::test_active_row_level_security_is_no_answer",
    ),
    Mutant(
        "trusting the copy of a table",
        "a table that a subscription fills is behind",
        "databases/postgres/table.py",
        "    if subscriptions:\n",
        "    if False:\n",
        "servers/test_currency_postgres.py::test_a_table_that_a_subscription_fills_is_behind_until_it_is_dropped",
    ),
    Mutant(
        "trying one pair of digits",
        "a column whose order hides rows is no answer",
        "databases/order.py",
        " if in_range} == PROBES\n",
        " if in_range} != set()\n",
        "servers/test_order.py::test_a_column_that_hides_a_living_topology_is_no_answer",
    ),
    Mutant(
        "asking in a snapshot",
        "each question sees what was committed before it",
        "databases/postgres/table.py",
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        "servers/test_answers.py::test_a_question_that_waits_for_a_restore_sees_what_it_restored",
    ),
    Mutant(
        "asking for what may be rolled back",
        "each question is READ COMMITTED, whatever the server's default",
        "databases/mysql/origin.py",
        '    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",\n',
        "",
        "servers/test_changed_servers.py::test_a_deletion_that_is_not_committed_is_none",
    ),
    Mutant(
        "taking a cache's answer",
        "what answers is the database, and now",
        "databases/server.py",
        "        if any(row[0] != nonce for row in found):\n",
        "        if False:\n",
        "servers/test_answers.py::test_an_old_answer_to_another_question_is_none",
    ),
    Mutant(
        "taking another network's answer however old",
        "each network's removal asks again first",
        "control/reconciler.py",
        "                is_new = asked_at > wanted_at or not fresh\n",
        "                is_new = True\n",
        "unit/test_reconciler.py::test_each_retry_and_each_network_asks_again",
    ),
    Mutant(
        "joining a question that is under way",
        "no answer is older than the question",
        "databases/shared.py",
        "                    self._next = _Question()\n",
        "                    pass\n",
        "servers/test_distance.py::test_who_asks_while_a_question_is_under_way_shares_the_next_one",
    ),
    Mutant(
        "taking a table's answer for that of the one before",
        "the answer is that of the table that was asked",
        "databases/server.py",
        "                if identity == expected:\n",
        "                identity = expected\n                if True:\n",
        "servers/test_answers.py::test_a_table_that_is_made_again_while_it_is_asked_answers_as_another",
    ),
    Mutant(
        "believing a file that was swapped meanwhile",
        "the answer is that of the file that was asked",
        "databases/sqlite/table.py",
        """\
            raise self.no_answer(error, aspect) from error
        file.check()
""",
        """\
            raise self.no_answer(error, aspect) from error
""",
        "database/test_topologies.py::test_a_file_that_is_swapped_during_a_question_is_no_answer",
    ),
    Mutant(
        "the wrong range bound",
        "no collation hides a row",
        "databases/base.py",
        '    following = f"{int(prefix, 16) + 1:0{PREFIX_LENGTH}x}"\n',
        "    following = prefix[:-1] + chr(ord(prefix[-1]) + 1)\n",
        "servers/test_answers.py::test_a_prefix_ending_in_any_digit_is_judged_rightly",
    ),
    Mutant(
        "counting a row as absent once it is torn down",
        "a row of any status is life",
        "databases/base.py",
        "    return sa.select(id_, column).where(sa.or_(sa.false(), *ranges))\n",
        """\
    alive = sa.column("status") != "torn_down"
    return sa.select(id_, column).where(sa.or_(sa.false(), *ranges), alive)
""",
        "database/test_topologies.py::test_a_row_of_any_status_is_life",
    ),
    Mutant(
        "wanting a row in every database",
        "with several databases a row in any of them is life",
        "core/judge.py",
        "        return any(answer.live(owner) for answer in self.each)\n",
        "        return all(answer.live(owner) for answer in self.each)\n",
        "unit/test_judge.py::test_a_change_of_the_table_is_past_once_nothing_here_is_in_doubt",
    ),
    Mutant(
        "asking about one of its owners only",
        "a resource is alive while any of its owners is",
        "core/judge.py",
        "        if any(answers.stands(owner) or owner in self._alive for owner in whose):\n",
        "        if answers.stands(resource.owners[0]):\n",
        "unit/test_reconciler.py::test_the_question_is_about_every_owner_of_every_resource",
    ),
    # What a teardown has left.
    Mutant(
        "reaping what is torn down although nobody asked for it",
        "a row of any status is life, unless the operator has given a time",
        "core/judge.py",
        "        if not torn_down or self._torn_down_after:\n",
        "        if True:\n",
        "unit/test_torn_down.py::test_without_the_option_it_stays_and_is_told",
    ),
    Mutant(
        "believing one of several rows that read as one id",
        "a row that is not torn down is life",
        "databases/base.py",
        "if statuses == {TORN_DOWN}",
        "if TORN_DOWN in statuses",
        "database/test_sqlite_torn_down.py::"
        "test_rows_that_read_as_one_id_are_torn_down_if_all_of_them_are",
    ),
    Mutant(
        "going on with the time after another status",
        "any other status saves what is left of a topology",
        "core/evidence.py",
        "                del self._torn_down[id_]\n",
        "                pass\n",
        "unit/test_torn_down.py::test_any_other_status_and_no_row_end_the_time",
    ),
    Mutant(
        "going on with the time after a report that the row became torn down",
        "any other status saves what is left of a topology",
        "core/evidence.py",
        "                self._torn_down[id_] = Absence(now, self._outages)\n",
        "                pass\n",
        "unit/test_torn_down.py::test_a_report_begins_the_time_anew",
    ),
    Mutant(
        "not remembering when a row was last seen to stand",
        "any other status saves what is left of a topology",
        "core/evidence.py",
        "        shown = self._standing if answer.live(owner) else self._alive\n",
        "        shown = {} if answer.live(owner) else self._alive\n",
        "unit/test_torn_down.py::"
        "test_an_answer_that_was_overtaken_by_one_with_another_row_removes_nothing",
    ),
    Mutant(
        "counting the time of an outage as torn down",
        "a row has to be seen to be torn down for so long",
        "core/evidence.py",
        "                torn_down.at = answer.at  # nobody has asked about it since\n",
        "                pass\n",
        "unit/test_torn_down.py::test_answers_about_others_are_no_observation_of_it",
    ),
    Mutant(
        "reaping by one torn-down row of a prefix",
        "what only its name ties to a prefix goes once every row with it is torn down",
        "core/evidence.py",
        "        return owner in self._standing_prefixes\n",
        "        return owner not in map(prefix_of, self.torn_down)\n",
        "unit/test_torn_down.py::"
        "test_what_only_its_name_ties_to_a_prefix_goes_once_every_row_with_it_is_torn_down",
    ),
    Mutant(
        "believing one database that a row is torn down",
        "each database that has the row has to say so",
        "core/judge.py",
        "        return any(answer.stands(owner) for answer in self.each)\n",
        "        return all(answer.stands(owner) for answer in self.each)\n",
        "unit/test_torn_down.py::test_every_database_that_has_a_row_of_it_has_to_say_so",
    ),
    Mutant(
        "forgetting that a row with the prefix may not be restored yet",
        "after a change of the table what was not seen since is held",
        "core/judge.py",
        "        if self._doubted(owner) and not released:\n",
        "        if False:\n",
        "unit/test_torn_down.py::"
        "test_a_prefix_is_held_while_a_row_with_it_may_not_have_been_restored_yet",
    ),
    Mutant(
        "taking the report of a status for one of a deletion",
        "a report of a status explains nothing and releases nothing",
        "core/judge.py",
        "        self._evidence[database].note_teardowns(ids, now)\n",
        "        self.note_deletions(database, ids, now)\n",
        "unit/test_torn_down.py::test_a_report_of_a_status_is_none_of_a_deletion",
    ),
    Mutant(
        "not asking the others about what is torn down",
        "a hold binds whoever can see its holder",
        "core/judge.py",
        "answers.stands if self._torn_down_after else answers.live, owners",
        "answers.live, owners",
        "unit/test_torn_down.py::"
        "test_the_hold_of_another_listener_binds_but_where_it_never_saw_the_row",
    ),
    # How long it is true.
    Mutant(
        "reusing an old answer",
        "an answer is fresh for one second",
        "control/reconciler.py",
        "                if not is_new or self._clock() - asked_at >= FRESH:\n",
        "                if not is_new:\n",
        "unit/test_reconciler.py::test_an_answer_justifies_a_removal_for_one_second",
    ),
    Mutant(
        "taking an answer that was long on its way",
        "an answer is fresh for one second",
        "control/reconciler.py",
        """\
                    asked_at = answers.at
                    if self._clock() - asked_at >= FRESH:
""",
        """\
                    asked_at = answers.at
                    if False:
""",
        "unit/test_reconciler.py::test_an_answer_that_takes_longer_than_it_is_true_permits_nothing",
    ),
    Mutant(
        "trying again without asking again",
        "every retry asks the database first",
        "control/reaper.py",
        "fresh=again or is_network",
        "fresh=is_network",
        "unit/test_reconciler.py::test_each_retry_and_each_network_asks_again",
    ),
    Mutant(
        "not asking again after a disconnect",
        "a network's removal is judged when it starts",
        "control/reaper.py",
        """\
            if not permit(resource, fresh=False):
                return Removal(resource, Result.SPARED)
        try:
            self._engine.remove(resource)
""",
        """\
        try:
            self._engine.remove(resource)
""",
        "unit/test_reaper.py::test_a_network_whose_permit_is_withdrawn_while_it_is_emptied_stays",
    ),
    # The evidence.
    Mutant(
        "reaping in the grace",
        "an unwitnessed absence counts when it lasted for the grace",
        "core/evidence.py",
        "        if left > 0:\n",
        "        if False:\n",
        "unit/test_evidence.py::test_an_unwitnessed_row_waits_for_the_grace_and_not_longer",
    ),
    Mutant(
        "believing who was never vouched for",
        "a database that never owned anything on this host proves nothing",
        "core/evidence.py",
        "        if not self._vouched:\n",
        "        if False:\n",
        "unit/test_evidence.py::test_a_database_that_never_owned_anything_here_is_not_believed",
    ),
    Mutant(
        "taking a notification as evidence",
        "a report, which anybody can forge, releases nothing that is held",
        "core/evidence.py",
        """\
        if self._replaced:
            return Verdict(State.HELD, REPLACED)
""",
        """\
        if self.reports.cover(owner, answer.at):
            return Verdict(State.ORPHAN, "its deletion was reported")
        if self._replaced:
            return Verdict(State.HELD, REPLACED)
""",
        "unit/test_evidence.py::test_a_report_releases_nothing_that_is_held",
    ),
    Mutant(
        "trusting a foreign ledger",
        "the ledger is bound to its database",
        "runtime/state/ledger.py",
        "        if database != name:\n",
        "        if False:\n",
        "unit/test_ledger.py::test_the_ledger_of_another_database_is_never_believed",
    ),
    Mutant(
        "keeping the ledger of another incarnation",
        "what was seen in another table was not seen in this one",
        "core/evidence.py",
        "        self._witnessed.clear()\n",
        "",
        "unit/test_judge.py::test_a_table_that_was_replaced_between_two_runs_is_noticed",
    ),
    Mutant(
        "getting over a restore too early",
        "after a change of the table what was not listed since is held",
        "core/evidence.py",
        "doubts or not self._listed_since",
        "doubts",
        "unit/test_judge.py::"
        "test_a_change_of_the_table_is_not_past_by_the_listing_at_hand_when_it_was_learned",
    ),
    Mutant(
        "listening on to a table that is gone",
        "push is not deaf after a restore",
        "databases/fallback.py",
        "        if self._hears_another:\n            self._push.close()\n",
        "",
        "servers/test_feed_restores.py::test_after_a_restore_it_hears_the_table_that_is_there_now",
    ),
    Mutant(
        "not telling a table from the one made after it",
        "the identity changes with the table's incarnation",
        "databases/postgres/table.py",
        "database {database} table {oid}",
        "database {database}",
        "servers/test_answers.py::test_a_table_that_was_made_again_is_another",
    ),
    Mutant(
        "taking any table for the one that was there",
        "the identity changes with the table's incarnation",
        "databases/mysql/table.py",
        "        SELECT CONCAT(t.table_id, ' of ', UNIX_TIMESTAMP(r.created)), CAST((\n",
        "        SELECT 'any', CAST((\n",
        "servers/test_changed_servers.py::"
        "test_a_mariadb_that_shows_the_tables_number_has_the_same_table_after_all_but_a_new_one",
    ),
    Mutant(
        "taking every identity for the same table's",
        "the ledger is bound to what it was learned from",
        "core/evidence.py",
        "            or not self._same(self._identity, answer.identity, watched)\n",
        "",
        "unit/test_replaced.py::"
        "test_another_identity_of_the_same_table_replaces_nothing_and_is_kept",
    ),
    Mutant(
        "telling a file by the number of its disk",
        "a reboot is no other table",
        "databases/sqlite/table.py",
        "if file.id.born else",
        "if False else",
        "database/test_shared_memory.py::test_a_file_is_the_same_when_its_disk_has_another_number",
    ),
    Mutant(
        "asking a column of numbers",
        "a column whose order hides rows is no answer",
        "databases/order.py",
        " not in (None, True):  #",
        " is False:  #",
        "servers/test_order.py::test_a_column_that_is_no_text_is_no_answer",
    ),
    Mutant(
        "one ledger for two sockets",
        "each database has its own ledger",
        "databases/server.py",
        "_place(url, url.query)",
        "_place(url, {})",
        "database/test_urls.py"
        "::test_two_sockets_are_two_servers_whatever_else_their_urls_have_in_common",
    ),
    Mutant(
        "not noticing an older state of the same table",
        "the ledger is bound to what it was learned from",
        "core/evidence.py",
        "            or 0 < answer.position < self._least_position\n",
        "",
        "unit/test_replaced.py::test_an_older_state_than_an_earlier_run_knew_is_another_table",
    ),
    Mutant(
        "believing a witness whose row may have moved to a database that was replaced",
        "nothing whose row existed before a fault is removed",
        "core/judge.py",
        " and not self._doubted(owner):",
        ":",
        "unit/test_replaced.py::test_a_row_that_is_missing_where_it_moved_to_is_no_deletion",
    ),
    Mutant(
        "believing what appeared under watch",
        "what appears while no database has its row is held",
        "core/unproven.py",
        """\
                    self._marked.add(owner)
                    added = True
            elif (
""",
        """\
                    pass
            elif (
""",
        "property/test_every_order.py::test_what_came_under_watch_from_another_database_stays",
    ),
    Mutant(
        "judging an id apart from its network",
        "an id takes over the mark of its bare prefix",
        "core/unproven.py",
        " and not self._watched_others(owner, prefix)\n",
        "\n",
        "unit/test_unproven.py::test_an_id_takes_over_the_mark_of_its_bare_prefix",
    ),
    Mutant(
        "judging an id apart from what an earlier run found",
        "an id takes over the mark of its bare prefix",
        "core/unproven.py",
        "                and prefix_of(owner) in self._marked\n",
        "                and False\n",
        "unit/test_unproven.py::test_an_id_takes_over_a_mark_of_its_bare_prefix_that_is_older_than_this_run",
    ),
    Mutant(
        "holding what had its row in the end",
        "a row clears the mark",
        "core/unproven.py",
        """\
                self._pending.pop(owner, None)
                self._marked.discard(owner)
""",
        "                self._pending.pop(owner, None)\n",
        "unit/test_unproven.py::test_its_row_clears_it",
    ),
    Mutant(
        "forgetting at a restart what is unproven",
        "what is held, and why, outlives a restart",
        "core/judge.py",
        "            marked={owner for memory in known for owner in memory.unproven},\n",
        "            marked=(),\n",
        "property/test_every_order.py::test_what_came_under_watch_from_another_database_stays",
    ),
    Mutant(
        "judging before the mark is kept",
        "a mark is written before anything else of it is judged",
        "control/reconciler.py",
        "        if unproven:\n            self._learned()  # before anything is done about it\n",
        "",
        "unit/test_unproven.py::test_a_mark_is_kept_before_anything_else_is_judged_and_outlives_a_restart",
    ),
    Mutant(
        "counting an outage as absence",
        "an outage starts the grace anew",
        "core/evidence.py",
        "        elif answer.at - self._answered_at > OUTAGE:\n            self.interrupted()\n",
        "",
        "unit/test_evidence.py::test_an_outage_begins_the_grace_anew_and_five_seconds_are_none",
    ),
    Mutant(
        "believing who may be behind",
        "what was never seen counts only where the database is current",
        "core/evidence.py",
        "        if answer.behind and (begun is None or begun >= self._past):\n",
        "        if False:\n",
        "unit/test_evidence.py::test_what_was_never_seen_is_held_while_the_database_may_be_behind",
    ),
    Mutant(
        "proving by containers that were made anew",
        "a copy is past what is older than a topology that it shows as deployed",
        "core/judge.py",
        "for id_ in with_network), default",
        "for id_ in begun), default",
        "unit/test_evidence.py::test_a_copy_is_past_what_is_older_than_a_topology_that_it_shows_as_deployed",
    ),
    Mutant(
        "proving within a second",
        "a copy is past what is older than a topology that it shows as deployed",
        "core/evidence.py",
        "begun >= self._past",
        "begun > self._past",
        "unit/test_evidence.py::test_a_copy_is_past_what_is_older_than_a_topology_that_it_shows_as_deployed",
    ),
    Mutant(
        "letting a report vouch",
        "a report never vouches",
        "core/judge.py",
        "        evidence.deletions.add(ids, now)\n",
        "        evidence.deletions.add(ids, now)\n        evidence.vouch()\n",
        "unit/test_judge.py::test_a_report_vouches_for_nothing",
    ),
    Mutant(
        "believing reports about another table",
        "a report is dropped when the identity changes",
        "core/evidence.py",
        "            self.deletions.clear()\n",
        "            pass\n",
        "unit/test_judge.py::test_a_report_about_another_table_explains_nothing",
    ),
    Mutant(
        "holding the rest of what was removed here",
        "what a deploy still makes of a reaped orphan goes as well",
        "control/reconciler.py",
        "                    self._judge.removing(resource, self._clock())\n",
        "                    pass\n",
        "unit/test_unproven.py::test_the_rest_of_a_reaped_orphan_goes_as_well",
    ),
    Mutant(
        "forgetting after ten minutes",
        "a witness is remembered for a day",
        "core/unproven.py",
        "DAY = 86_400.0\n",
        "DAY = 600.0\n",
        "unit/test_unproven.py::test_a_deploy_may_go_on_for_a_day_after_its_row_was_seen",
    ),
    Mutant(
        "observing no longer what another database was told of",
        "an absence is observed while it has to last, for whichever database",
        "core/evidence.py",
        "-v.wait, not v.timed)",
        "-v.wait)",
        "unit/test_judge.py::test_an_absence_that_any_database_goes_by_has_to_be_observed_on",
    ),
    # What others hold.
    Mutant(
        "removing what another listener holds",
        "a hold binds whoever can see its holder",
        "core/judge.py",
        "        if verdict.state is State.HELD:\n            return None\n",
        "        if verdict:\n            return None\n",
        "unit/test_judge.py::test_what_another_listener_holds_is_held_until_an_operator_confirms_it",
    ),
    Mutant(
        "keeping for ever what another listener never saw",
        "listeners of two databases work side by side",
        "core/judge.py",
        "not (hold.never_seen and explained)",
        "hold",
        "unit/test_judge.py::test_who_saw_the_row_go_knows_better_than_who_never_saw_it",
    ),
    Mutant(
        "holding all for a listener that is frozen",
        "a silent peer delays nothing that was witnessed",
        "core/judge.py",
        "if answers.peers.silent and not explained and",
        "if answers.peers.silent and",
        "unit/test_judge.py::test_while_another_listener_is_silent_what_was_never_seen_waits",
    ),
    Mutant(
        "going on without the word of a silent listener",
        "what was never witnessed waits for a silent peer",
        "core/judge.py",
        "if answers.peers.silent and not explained and",
        "if not answers.peers and",
        "unit/test_judge.py::test_while_another_listener_is_silent_what_was_never_seen_waits",
    ),
    Mutant(
        "believing any user",
        "a peer of another user cannot make us hold or release",
        "telemetry/unix.py",
        "return pid, uid in (0, os.geteuid())",
        "return pid, True",
        "unit/test_peers.py::test_only_root_and_the_same_user_are_believed",
    ),
    Mutant(
        "passing over a listener whom many ask",
        "a peer that cannot be asked is silent",
        "runtime/peers/asking.py",
        "pid, is_trusted = names.owner(name, inode)",
        "pid, is_trusted = 0, False",
        "unit/test_peers.py::test_who_has_so_many_waiting_that_it_cannot_be_asked_is_silent",
    ),
    Mutant(
        "forgetting a listener that is restarted",
        "what a peer held is held for a while after it is gone",
        "runtime/peers/asking.py",
        "LINGER = 60.0",
        "LINGER = -1.0",
        "unit/test_peers.py::test_what_one_held_that_is_gone_is_held_for_a_while",
    ),
    Mutant(
        "telling what is only heard of others",
        "a listener tells others only its own holds",
        "telemetry/status.py",
        "screening.binding.items()",
        "screening.held.items()",
        "unit/test_status.py::test_what_another_holds_is_told_to_nobody_as_our_own",
    ),
    Mutant(
        "telling a password to the log",
        "a password is never in the command",
        "runtime/command.py",
        "render_as_string(hide_password=True)",
        "render_as_string(hide_password=False)",
        "unit/test_command.py::test_a_password_is_never_in_it",
    ),
    Mutant(
        "leaving the database out of the command",
        "the command that is told is complete",
        "runtime/command.py",
        "        if value == default or (",
        "        if value == default or isinstance(value, tuple) or (",
        "unit/test_command.py::test_it_has_what_was_given_by_flag_or_variable_and_nothing_else",
    ),
    Mutant(
        "saying nothing when a hold is over",
        "what is no longer held is said",
        "telemetry/listener_log.py",
        "        if reasons:\n            logger",
        "        if not reasons:\n            logger",
        "unit/test_controller.py::test_what_is_no_longer_held_is_said_with_the_reason",
    ),
    Mutant(
        "taking the strongest evidence of several",
        "what nothing but its name ties to a topology takes the weakest",
        "core/evidence.py",
        "        return min(verdicts, key",
        "        return max(verdicts, key",
        "unit/test_judge.py::test_a_resource_known_by_its_name_alone_takes_the_weakest_evidence",
    ),
    Mutant(
        "a token for any prefixes",
        "a token releases exactly the prefixes that it was given for",
        "core/judge.py",
        "[self._identity, *sorted(held)]",
        "[self._identity]",
        "unit/test_evidence.py::test_the_token_of_other_prefixes_releases_nothing",
    ),
    Mutant(
        "a token for any database",
        "a token releases nothing in another database",
        "core/judge.py",
        "[self._identity, *sorted(held)]",
        "sorted(held)",
        "unit/test_judge.py::test_a_token_is_bound_to_all_databases",
    ),
    Mutant(
        "taking each new start for progress",
        "a loop that fails for ever is noticed",
        "runtime/supervisor.py",
        "                    pulse.failed()\n",
        "",
        "unit/test_health.py::"
        "test_a_loop_that_fails_again_and_again_is_stuck_and_one_that_fails_once_is_not",
    ),
    # What is done and said.
    Mutant(
        "reporting what is still there",
        "what is reported as removed is gone",
        "control/reaper.py",
        '        raise InProgress("the engine still knows it after it was removed")\n',
        "        return Removal(resource, Result.REMOVED)\n",
        "unit/test_reaper.py::"
        "test_what_the_engine_still_knows_after_its_removal_is_pending_and_not_removed",
    ),
    Mutant(
        "claiming what somebody else removed",
        "what is reported as removed was removed by us",
        "control/reaper.py",
        "Result.REMOVED if done.requested else Result.GONE",
        "Result.REMOVED",
        "unit/test_reaper.py::test_what_somebody_else_removed_is_gone_and_not_removed",
    ),
    Mutant(
        "forgetting what was given up",
        "what ends after our patience is told as removed",
        "control/reconciler.py",
        "                self._requests[resource.id] = request\n",
        "                pass\n",
        "unit/test_reconciler.py::"
        "test_what_ends_after_our_patience_was_removed_by_us_and_is_told_once",
    ),
    Mutant(
        "claiming whatever goes after we gave up",
        "what we never got through with was removed by somebody else",
        "control/reconciler.py",
        "            elif removal.requested and request is None:\n",
        "            elif resource.id in permitted and request is None:\n",
        "unit/test_reconciler.py::test_what_we_never_got_through_with_was_removed_by_somebody_else",
    ),
    Mutant(
        "claiming what was refused in the end",
        "what the engine refused was not removed at our request",
        "control/reconciler.py",
        "            if removal.requested is False:\n",
        "            if False:\n",
        "unit/test_reconciler.py::"
        "test_what_goes_right_after_a_refusal_was_removed_by_somebody_else",
    ),
    Mutant(
        "claiming what turned out to be alive",
        "what a later list shows alive is not ours when it goes",
        "control/reconciler.py",
        "if listed else ():\n",
        "if False else ():\n",
        "unit/test_reconciler.py::test_what_stays_for_long_is_not_ours_when_it_goes",
    ),
    Mutant(
        "telling for each prefix",
        "what has two prefixes is told once",
        "control/reconciler.py",
        "            if resource.id in self._credited:",
        "            if False:",
        "unit/test_reconciler.py::"
        "test_what_one_prefix_has_told_another_does_not_though_its_request_was_late",
    ),
    Mutant(
        "taking what the index has lost for gone",
        "what is told as removed is gone, by the engine's word",
        "control/reconciler.py",
        "                found = self._read(request.resource)\n",
        "                raise Gone\n",
        "unit/test_reconciler.py::test_what_left_the_index_and_is_still_there_is_not_told",
    ),
    Mutant(
        "not looking again where nothing is left",
        "what was given up is told, though Docker was away when it went",
        "control/controller.py",
        "            self.reconcile_lane.add(prefix, hasten=fresh_list)\n        try:\n",
        "            pass\n        try:\n",
        "unit/test_controller.py::"
        "test_what_was_given_up_is_told_after_a_listing_though_docker_was_away",
    ),
    Mutant(
        "not counting the end of what was unfinished",
        "the last word on a topology is not that something is still there",
        "control/reconciler.py",
        "        return replace(outcome, ended=bool(ids) and ids.isdisjoint(there))\n",
        "        return outcome\n",
        "unit/test_status.py::test_the_last_word_on_a_topology_is_not_that_something_is_still_there",
    ),
    Mutant(
        "forcing an endpoint off by the name that another container has",
        "what is not DECNET's is never touched for an endpoint of its name",
        "engine/client.py",
        "        if endpoint.stale:\n",
        "        if False:\n",
        "unit/test_reaper.py::"
        "test_a_stale_endpoint_whose_name_another_container_has_is_tried_once_a_look",
    ),
    Mutant(
        "giving each list of a slow engine up after the same time",
        "an engine whose lists take longer than a request may is listed",
        "engine/client.py",
        "            self._expect(self.list_timeout * 2)\n",
        "",
        "unit/test_slow_engine.py::test_the_limit_of_a_list_follows_what_the_last_one_took",
    ),
    Mutant(
        "taking the wait for a long list for a loop that is stuck",
        "the watchdog ends no listener that waits for a slow engine",
        "runtime/daemon.py",
        "max(limit, 2 * self._engine.list_timeout)",
        "limit",
        "unit/test_health.py::"
        "test_the_loop_that_is_at_one_piece_of_work_for_too_long_is_named_and_no_other",
    ),
    Mutant(
        "keeping every line that nobody reads",
        "what waits for a reader of the log is bounded, and what was dropped is told",
        "telemetry/lines.py",
        "            if len(self._lines) < self._most or",
        "            if True or",
        "unit/test_logs.py::test_who_logs_waits_for_no_reader_and_what_was_dropped_is_counted",
    ),
    Mutant(
        "saying nothing of who was disconnected",
        "what we disconnected is in the record",
        "control/reaper.py",
        "            done.disconnected.append(endpoint)\n",
        "            pass\n",
        "unit/test_reaper.py::"
        "test_who_was_disconnected_is_said_once_however_often_the_network_is_tried",
    ),
    Mutant(
        "claiming who was not on the network any more",
        "what we disconnected was disconnected by us",
        "control/reaper.py",
        "is not None or was_on_it:\n",
        "is not None or True:\n",
        "unit/test_reaper.py::"
        "test_a_removal_says_who_was_disconnected_and_only_what_the_engine_did",
    ),
    Mutant(
        "forgetting who was to leave",
        "who leaves a network after our patience is in the record",
        "control/reaper.py",
        "            self._unanswered[key] = endpoint\n",
        "",
        "unit/test_reaper.py::test_who_left_after_our_patience_was_disconnected_by_us",
    ),
    Mutant(
        "telling that a guest is never touched",
        "explain says that a guest would be taken off a network that goes",
        "cli/explain.py",
        "    if thing.stays or verdict.state is State.ALIVE:\n",
        "    if True:\n",
        "unit/test_explain.py::"
        "test_a_guest_is_never_removed_and_leaves_the_network_only_when_that_goes",
    ),
    Mutant(
        "taking an unsent request for one without an answer",
        "what we never asked for was not removed by us",
        "engine/errors.py",
        "    if isinstance(error, requests.ConnectTimeout):\n",
        "    if False:\n",
        "unit/test_reaper.py::"
        "test_what_the_engine_did_not_answer_it_may_still_do_unless_it_was_never_asked",
    ),
    Mutant(
        "removing in a dry run",
        "a dry run removes nothing",
        "runtime/sweep.py",
        "            if settings.dry_run\n            else Reaper(",
        "            if False\n            else Reaper(",
        "engine/test_built_images.py::"
        "test_without_the_option_none_goes_and_a_dry_run_names_those_that_would",
    ),
    Mutant(
        "taking an answer that was overtaken for evidence",
        "an answer is no evidence once a later one has shown the row",
        "core/judge.py",
        """\
            evidence.overtaken(owner, answer)
            for evidence""",
        """\
            False
            for evidence""",
        "unit/test_reconciler.py::test_an_answer_is_no_evidence_once_a_later_one_has_shown_the_row",
    ),
    Mutant(
        "not looking while a removal takes its time",
        "a removal that takes longer than an outage goes on",
        "control/controller.py",
        "        if any(verdict.timed for verdict in screening.verdicts.values()):\n",
        "        if False:\n",
        "unit/test_controller.py::"
        "test_while_the_removal_of_what_was_never_seen_goes_on_its_absence_is_observed",
    ),
    # What Podman does in its own way.
    Mutant(
        "taking a network from under a container",
        "a network with something on it stays",
        "engine/client.py",
        "resource.name if self.is_podman else resource.id",
        "resource.id",
        "engine/test_podman.py::"
        "test_a_network_is_not_taken_from_under_a_container_that_came_just_now",
    ),
    Mutant(
        "waiting for a container to stop",
        "a removal takes a fraction of a second",
        "engine/podman.py",
        '"timeout": "0"',
        '"timeout": "10"',
        "engine/test_podman.py::test_a_removal_does_not_wait_for_a_container_to_stop",
    ),
    Mutant(
        "removing a base before its services",
        "what the engine refuses is not asked of it",
        "control/reaper.py",
        "DEPENDENTS_FIRST if self._engine.dependents_first else BASES_FIRST",
        "BASES_FIRST",
        "unit/test_reaper.py::test_services_go_before_bases_where_the_engine_wants_it",
    ),
    Mutant(
        "hearing of what is destroyed only",
        "what is gone leaves the index",
        "engine/events.py",
        'GONE: Final = ("destroy", "remove")',
        'GONE: Final = ("destroy",)',
        "unit/test_watch.py::test_what_came_and_went_within_the_replay_was_never_there",
    ),
    Mutant(
        "looking for a network by its id only",
        "a foreign container does not block a network",
        "engine/objects.py",
        ' in ("", network.name)',
        ' == ""',
        "unit/test_objects.py::test_a_network_is_known_by_its_name_where_its_id_is_not_told",
    ),
    Mutant(
        "passing over the rows that DECNET's repository shows",
        "a row that either shows is life",
        "core/judge.py",
        "answers.stands(owner) or owner in self._alive for owner",
        "answers.stands(owner) for owner",
        "unit/test_judge.py::test_what_somebody_else_has_seen_alive_is_alive_and_vouches_for_nothing",
    ),
    Mutant(
        "sweeping in DECNET's event loop",
        "the event loop goes on while the button works",
        "decnet.py",
        "            swept = await _in_thread(key, partial(_sweep, url, api, ids, None))\n",
        "            swept = _sweep(url, api, ids, None)\n",
        "engine/test_drop_in.py"
        "::test_the_event_loop_goes_on_while_it_works_and_while_the_repository_blocks",
    ),
    Mutant(
        "sweeping in the threads of DECNET's event loop",
        "the loop's threads stay free, and its end waits for no sweep",
        "decnet.py",
        "    return await asyncio.wrap_future(future)\n",
        "    return await asyncio.to_thread(future.result)\n",
        "engine/test_drop_in.py::test_presses_share_one_sweep_and_leave_the_loops_threads_alone",
    ),
    Mutant(
        "asking the database of the button alone",
        "a row in any database that the operator has named is life, for the button too",
        "decnet.py",
        "        given += settings.databases\n",
        "        pass\n",
        "engine/test_drop_in.py::test_a_row_in_any_database_that_the_operator_has_named_is_life",
    ),
    Mutant(
        "trusting the URL of a repository's engine",
        "nothing goes while the repository is at another database than is asked",
        "decnet.py",
        "        if missed is not None and (missing := missing & missed):\n",
        "        if False:\n",
        "engine/test_drop_in.py"
        "::test_nothing_goes_while_the_repository_shows_rows_that_its_engines_url_does_not_lead_to",
    ),
    Mutant(
        "explaining without the listener that runs",
        "explain says what the listener makes of it",
        "cli/explain.py",
        '            return told, ""\n',
        '            return None, "nobody was asked"\n',
        "engine/test_evidence.py"
        "::test_what_a_running_listener_makes_of_it_is_said_beside_what_a_sweep_would",
    ),
    Mutant(
        "keeping back why the listener sees it otherwise",
        "explain says both views where they differ",
        "cli/explanation.py",
        "            if self.listener.reason != sweep.reason:\n",
        "            if False:\n",
        "unit/test_explain.py"
        "::test_both_views_are_said_and_the_listeners_reason_where_it_is_another",
    ),
    Mutant(
        "saying that the listener removes what it only would",
        "explain says what the listener really does",
        "cli/explanation.py",
        '        case "orphan" if told["dry_run"]:\n',
        '        case "orphan" if False:\n',
        "unit/test_explain.py::test_the_listeners_view",
    ),
    Mutant(
        "taking what waits for a failure",
        "what the grace still covers is no failure of a sweep",
        "core/report.py",
        "return not self.errors and not self.held",
        "return not self.errors and not self.held and not self.waiting",
        "unit/test_report.py::test_a_sweep_is_complete_when_nothing_failed_and_nothing_is_held",
    ),
    Mutant(
        "taking an unanswered question for a wait",
        "what another listener may hold is not passed over by a sweep",
        "core/report.py",
        "            if verdict.elsewhere:\n",
        "            if False:\n",
        "unit/test_report.py::test_what_waits_for_another_listener_to_answer_is_held_by_no_token",
    ),
    Mutant(
        "removing what is confirmed without a word",
        "what will go is said before anything does",
        "runtime/sweep.py",
        "        if confirm is not None and not settings.dry_run:\n",
        "        if False:\n",
        "engine/test_sweep.py::test_what_no_row_vouches_for_is_held_until_its_token_confirms_it",
    ),
    Mutant(
        "calling a dry run so only where it found something",
        "a dry run says that it is one",
        "core/report.py",
        'lines = ["dry run: nothing is removed"] if self.dry_run else []',
        'lines = ["dry run: nothing is removed"] if self.would_remove else []',
        "unit/test_report.py::test_a_dry_run_says_that_it_is_one_also_when_there_is_nothing",
    ),
    Mutant(
        "keeping from DECNET's interface what is held",
        "whatever is held is told",
        "decnet.py",
        "    for held in swept.held:\n",
        "    for held in ():\n",
        "engine/test_drop_in.py::test_what_a_listener_beside_it_holds_stays",
    ),
    Mutant(
        "closing a deleted file that another connection has open",
        "a connection of DECNET's in this process keeps its locks",
        "databases/sqlite/inode.py",
        " and inodes[file.device, file.inode] == 1",
        "",
        "database/test_topologies.py"
        "::test_what_is_deleted_stays_open_no_longer_than_somebody_else_has_it_open",
    ),
    # DECNET as it is installed.
    Mutant(
        "using DECNET's usual file by itself",
        "no database is ever guessed",
        "settings/__init__.py",
        "raise decnet.no_path(self.decnet_config)",
        'return [("a guess", f"sqlite:///{file}") for file in decnet.usual_files()]',
        "unit/test_decnet_config.py::test_the_usual_places_are_found_by_looking_and_never_used",
    ),
    Mutant(
        "letting DECNET's file win over its variables",
        "the file yields to the variables, as in DECNET",
        "settings/decnet.py",
        "told = {**(read_ini(Path(config)) if config else {}), **variables}",
        "told = {**variables, **(read_ini(Path(config)) if config else {})}",
        "unit/test_decnet_config.py::"
        "test_the_file_yields_key_by_key_to_the_variables_and_both_to_a_url",
    ),
    Mutant(
        "leaving files beside DECNET's other databases",
        "doctor changes nothing",
        "cli/doctor/decnet.py",
        "traceless=True",
        "traceless=False",
        "database/test_decnet_files.py::"
        "test_a_second_file_with_topologies_is_told_of_and_left_as_it_is",
    ),
    Mutant(
        "telling a key by another name than its schema",
        "the status is what its schema says",
        "runtime/health.py",
        '"proof_age_s": self.proof_age,',
        '"proof_age": self.proof_age,',
        "documentation/test_status.py::test_what_a_listener_tells",
    ),
    Mutant(
        "leaving half a line in the history",
        "what was removed is in the history",
        "runtime/state/files.py",
        "            file.truncate(size)\n",
        "            pass\n",
        "unit/test_history.py::test_half_a_line_that_the_disk_had_room_for_spoils_no_other",
    ),
    # What the screens say.
    Mutant(
        "advising an option that is given",
        "what is said to do is not done already",
        "core/report.py",
        " if state is State.ALIVE}\n",
        "}\n",
        "unit/test_torn_down.py::test_the_option_is_not_advised_where_it_is_given",
    ),
    Mutant(
        "being ready while a side is down",
        "no screen says ready while nothing can be removed",
        "telemetry/status.py",
        "    if failed:\n",
        "    if failed and not swept:\n",
        "unit/test_status.py::test_a_listener_is_in_one_state_and_the_worst_of_it_is_said",
    ),
    Mutant(
        "calling a topology idle while it is removed",
        "a topology shows its resources going one by one",
        "telemetry/status.py",
        "left = sum(r.id in doomed for r in resources)",
        "left = len(doomed)",
        "unit/test_status.py::test_what_is_being_removed_goes_one_by_one",
    ),
    Mutant(
        "saying that the row exists of what is removed",
        "what is removed is shown with the evidence of its removal",
        "telemetry/status.py",
        "            self._verdicts |= {r.id: Verdict(State.ORPHAN, evidence) for r in doomed}\n",
        "",
        "unit/test_status.py::test_what_is_being_removed_is_reaping_and_then_gone",
    ),
    Mutant(
        "passing over the networks that appear",
        "the addresses in use follow the events",
        "engine/mirror.py",
        "            subnets.appeared(network)\n",
        "            pass\n",
        "engine/test_telemetry.py::test_addresses_in_use_follow_the_events",
    ),
    Mutant(
        "bringing back a network that went while it was looked up",
        "the addresses in use follow the events",
        "control/subnets.py",
        "            if network in self._wanted:  # else",
        "            if True:  # else",
        "unit/test_subnets.py::test_what_goes_while_it_is_looked_up_does_not_come_back",
    ),
    Mutant(
        "one label for two databases",
        "each database has metrics of its own",
        "runtime/build.py",
        "if short.count(t.label) == 1 else",
        "if t.label else",
        "database/test_urls.py::test_a_database_has_a_short_label_and_where_two_have_one_its_place_as_well",
    ),
    Mutant(
        "taking an answer to another question",
        "a relay's answer is believed only if it answers our question",
        "databases/nats/wire.py",
        "    if nonce != question.nonce:\n",
        "    if False:\n",
        "fleet/test_questions.py::test_what_is_no_answer",
    ),
    Mutant(
        "taking an answer about other prefixes",
        "a relay's answer is believed only if it answers our question",
        "databases/nats/wire.py",
        'if fields.kind != "answer" or fields.prefixes() != question.prefixes:',
        'if fields.kind != "answer":',
        "fleet/test_questions.py::test_what_is_no_answer",
    ),
    Mutant(
        "counting the age of a relay's answer from its arrival",
        "an answer is never younger than its question",
        "databases/nats/table.py",
        "asked = [(self._clock(), self._reply(part)) for part in wire.in_messages(prefixes)]",
        "asked = [(self._reply(p), self._clock())[::-1] for p in wire.in_messages(prefixes)]",
        "fleet/test_questions.py::test_an_answer_is_as_old_as_its_question",
    ),
    Mutant(
        "answering to whatever subject a host names",
        "no host can have a relay write to another's subject",
        "databases/nats/wire.py",
        "        if not inbox or inbox[1] != host:\n",
        "        if not inbox:\n",
        "unit/test_wire.py::test_no_subject_but_an_inbox_of_the_host_is_answered_to",
    ),
    Mutant(
        "believing relays of two databases",
        "while relays disagree there is no answer",
        "databases/nats/table.py",
        "        if why := self._line.relays.conflict(self._clock(), replies):\n",
        '        if why := "":\n',
        "fleet/test_questions.py::test_relays_of_two_databases_are_no_answer_until_one_is_gone",
    ),
    Mutant(
        "taking two servers made of one image for one",
        "while relays disagree there is no answer",
        "databases/nats/relays.py",
        "watched=False",
        "watched=True",
        "unit/test_interests.py::test_servers_made_of_one_image_are_two_databases",
    ),
    Mutant(
        "taking a copy of the server for the server",
        "while relays disagree there is no answer",
        "databases/nats/relays.py",
        "(first.kind, first.runs) != (other.kind, other.runs)",
        "first.kind != other.kind",
        "unit/test_interests.py::test_a_copy_that_runs_elsewhere_is_another_database",
    ),
    Mutant(
        "a new relay's server that was made of the same image as the last one's",
        "a table that nobody watched is known by more than its number",
        "databases/nats/table.py",
        "self._changes += not same",
        "self._changes += 0",
        "fleet/test_questions.py::test_a_relay_that_takes_over_before_a_server_of_the_same_image",
    ),
    Mutant(
        "telling hosts the account and the address of the database",
        "a host learns which of its prefixes have a row, and nothing else",
        "runtime/relay/relay.py",
        '_OURS.sub("…", presentable(said))',
        "presentable(said)",
        "fleet/test_relay.py::test_what_cannot_be_read_is_said_without_an_account",
    ),
    Mutant(
        "believing an answer before the heartbeat of its relay is heard",
        "while relays disagree there is no answer",
        "databases/nats/relays.py",
        "lately |= {reply.relay: reply for reply in replies}",
        "pass",
        "fleet/test_questions.py::test_an_answer_that_another_relays_heartbeat_contradicts_is_none",
    ),
    Mutant(
        "passing over what a relay had not taken",
        "a deletion before an interest was acknowledged is looked for",
        "databases/nats/interests.py",
        "return missed or before is None or not self._wanted <= before",
        "return missed",
        "fleet/test_feed.py::test_what_went_before_more_was_acknowledged_is_looked_for",
    ),
    Mutant(
        "passing over another number of a relay",
        "what a relay may have missed is looked for",
        "databases/nats/interests.py",
        "            self.ask_within(heartbeat.within, now)\n",
        "            pass\n",
        "fleet/test_feed.py::test_another_number_of_a_relay_is_any",
    ),
    Mutant(
        "passing over the deletions that an answer reports",
        "what was deleted lately is known before the answer is judged",
        "databases/nats/table.py",
        "            self._feed.report(_all(reply.deleted for reply in replies))\n",
        "            pass\n",
        "fleet/test_feed.py::test_what_an_answer_reports_is_known_before_it_is_judged_and_once",
    ),
    Mutant(
        "reporting what an answer tells of again and again",
        "an answer does not make us ask for ever",
        "databases/nats/feed.py",
        "new = [id_ for id_ in ids if id_ not in self._reported]",
        "new = list(ids)",
        "fleet/test_feed.py::test_what_an_answer_reports_is_known_before_it_is_judged_and_once",
    ),
    Mutant(
        "letting a relay's count of changes stand for another's",
        "a relay that takes over is no change of the table",
        "databases/nats/table.py",
        "before = self._told.pop(answer.relay, None)",
        "before = next(iter(self._told.values()), None)",
        "fleet/test_questions.py::test_a_generation_is_counted_for_each_relay",
    ),
    Mutant(
        "reading what a hostile host sends as it is",
        "no host deafens a relay",
        "databases/nats/bus.py",
        "data.translate(_PLAIN)",
        "data",
        "fleet/test_bus.py::test_odd_bytes_do_not_deafen",
    ),
    Mutant(
        "logging in where nothing is encrypted",
        "with tls:// nothing is said in clear",
        "databases/nats/bus.py",
        'if self._encrypted and not self._server_info.get("tls_required"):',
        "if False:",
        "fleet/test_login.py::test_nothing_is_said_in_clear_where_it_is_to_be_encrypted",
    ),
    # A relay.
    Mutant(
        "answering wherever a host wants it",
        "a host has the relay write to its own inbox and nowhere else",
        "runtime/relay/answering.py",
        "            inbox = self._subjects.inbox_of(host, reply)\n",
        "            inbox = reply\n",
        "unit/test_relay.py::test_an_answer_goes_to_an_inbox_of_the_host_and_nowhere_else",
    ),
    Mutant(
        "answering a question by one that ran already",
        "the database is asked after a question has arrived",
        "runtime/relay/answering.py",
        "            answer = self._ask(prefixes)\n",
        """\
            answer = self._ask(prefixes)
            gathered = [*gathered, *self._room.gather()[0]]
""",
        "unit/test_relay.py::test_questions_that_wait_are_one_and_none_joins_the_one_that_runs",
    ),
    Mutant(
        "asking once for each host",
        "hosts that ask at the same time are answered by one question",
        "runtime/relay/waiting.py",
        "        while self._hosts:\n",
        "        while self._hosts and not gathered:\n",
        "unit/test_relay.py::test_questions_that_wait_are_one_and_none_joins_the_one_that_runs",
    ),
    Mutant(
        "a turn for one host after the other's last",
        "a host that asks too much waits for itself alone",
        "runtime/relay/waiting.py",
        "                self._hosts[host] = queue  # behind all others\n",
        "                self._hosts = {host: queue, **self._hosts}\n",
        "unit/test_relay.py::test_hosts_take_turns_and_a_gathering_has_its_bound",
    ),
    Mutant(
        "taking all that a host sends",
        "a host cannot flood a relay beyond a bound",
        "runtime/relay/waiting.py",
        "        if owed > BURST:\n",
        "        if False:\n",
        "unit/test_relay.py::test_one_host_may_send_so_much_and_no_more",
    ),
    Mutant(
        "a question of many prefixes for the price of one",
        "a host cannot flood a relay beyond a bound",
        "runtime/relay/waiting.py",
        "owed + len(prefixes) / PREFIXES, at",
        "owed, at",
        "unit/test_relay.py::test_one_host_may_send_so_much_and_no_more",
    ),
    Mutant(
        "letting all questions of a host wait",
        "a host cannot flood a relay beyond a bound",
        "runtime/relay/waiting.py",
        "        if len(queue) >= MOST_OF_A_HOST:\n",
        "        if False:\n",
        "unit/test_relay.py::test_more_than_may_wait_is_refused",
    ),
    Mutant(
        "any number of interests",
        "what a host names is bounded",
        "runtime/relay/interests.py",
        "        if growth > 0 and (",
        "        if False and (",
        "unit/test_relay.py::test_what_hosts_name_is_bounded",
    ),
    Mutant(
        "announcing to all",
        "a host hears of what it has named and of nothing else",
        "runtime/relay/interests.py",
        "self._hosts.get(prefix_of(id_), ())",
        "self._heard",
        "unit/test_relay.py::test_a_deletion_is_announced_to_those_who_named_it",
    ),
    Mutant(
        "acknowledging what was not taken",
        "an interest is acknowledged once it was taken",
        "runtime/relay/announcing.py",
        '            self._tally.refuse("interests")\n        elif',
        '            self._tally.refuse("interests")\n        if',
        "unit/test_relay.py::test_what_is_hostile_is_refused_and_counted",
    ),
    Mutant(
        "an old number after a reconnect",
        "what may be lost is asked about",
        "runtime/relay/announcing.py",
        "            self._any += 1\n",
        "            pass\n",
        "unit/test_relay.py::test_any_is_told_by_a_number_that_grows",
    ),
    Mutant(
        "keeping to oneself that any may have gone",
        "what may be lost is asked about",
        "runtime/relay/announcing.py",
        "            if deleted is None:\n                self._any_wanted = True\n",
        "            if deleted is None:\n",
        "unit/test_relay.py::test_any_is_told_by_a_number_that_grows",
    ),
    Mutant(
        "having all ask again before they were answered",
        "a fleet takes a part of the relay's time",
        "runtime/relay/announcing.py",
        "max(ANY_SPACING, ANY_SHARE * self._within())",
        "ANY_SPACING",
        "unit/test_relay.py::test_hosts_are_not_told_to_ask_again_before_they_can_have_been_answered",
    ),
    Mutant(
        "announcing beside another database's relay",
        "two relays of two databases say nothing",
        "runtime/relay/announcing.py",
        "        if self._conflict:\n            return  # once",
        "        if False:\n            return  # once",
        "unit/test_relay.py::test_a_relay_of_another_database_silences_us",
    ),
    Mutant(
        "answering beside another database's relay",
        "two relays of two databases say nothing",
        "runtime/relay/answering.py",
        "            if why := self._announcing.identified(identity):\n",
        "            if (why := self._announcing.identified(identity)) and not why:\n",
        "unit/test_relay.py::test_nobody_is_answered_while_another_relay_serves_another_database",
    ),
    Mutant(
        "the deletions of another table",
        "a report is dropped when the identity changes",
        "runtime/relay/announcing.py",
        "                    self._deleted.clear()\n",
        "                    pass\n",
        "unit/test_relay.py::test_what_another_table_had_is_not_told_as_deleted",
    ),
    Mutant(
        "not missing its own heartbeat",
        "a relay that nobody can hear says so",
        "runtime/relay/announcing.py",
        "        if now - self._silent_since > SILENCE:\n",
        "        if False:\n",
        "unit/test_relay.py::test_a_broker_that_passes_nothing_on_is_left",
    ),
    Mutant(
        "keeping a connection that nobody needs",
        "an idle relay is one connection for its database",
        "runtime/relay/answering.py",
        "                self._close()\n",
        "                pass\n",
        "unit/test_relay.py::test_who_is_not_asked_closes_what_it_kept_open",
    ),
    Mutant(
        "an identity with the address in it",
        "two relays of one database by two URLs agree",
        "runtime/relay/relay.py",
        "anywhere=self._table.from_anywhere",
        "anywhere=str",
        "fleet/test_relay.py::test_two_relays_of_one_database_by_two_urls_both_answer[postgresql]",
    ),
    Mutant(
        "the driver's words for every host",
        "a host does not learn where the database is",
        "runtime/relay/relay.py",
        '_CAUSE.sub(" gave no answer; the relay\'s log says why", told)',
        "told",
        "fleet/test_relay.py::test_a_refusal_comes_with_its_sentence_and_without_an_address[postgresql]",
    ),
    Mutant(
        "not trying whether a user may write",
        "a relay that cannot answer is not ready",
        "runtime/relay/connection.py",
        '            bus.publish((self._writes, b""), until_taken=True)\n',
        "            pass\n",
        "fleet/test_relay.py::test_doctor_sees_what_a_relay_needs[postgresql]",
    ),
)
