"""The databases of topologies: how each is asked, and how it tells of deletions.

:mod:`~listener.databases.base` asks, and :mod:`~listener.databases.feed` says what a feed is. Each
kind of database is a folder, which :mod:`~listener.databases.urls` chooses by the URL.
"""
